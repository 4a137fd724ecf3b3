// attention-decode.wgsl for adjacent rows of one sequence, of which nothing has been evicted: entry and
// slot are the position, and row r sees positions up to its own. A workgroup takes a tile of queries
// and all heads of one key head that fit; they share each key, rotated once, and each value.
// Online softmax over tiles of THREADS entries (Milakov and Gimelshein 2018; Dao et al. 2022).
//
// qkv: f32 [rows, (HEADS + 2 KV_HEADS) HEAD_DIM], queries rotated
// keys, values: f32 [pages * PAGE_TOKENS, KV_HEADS * HEAD_DIM], keys un-rotated
// rows: two vec4 a row, pages: page tables (see rows.ts); angles: [HEAD_DIM / 2, SLOTS] (cos, sin)
// out: f32 [rows, HEADS, HEAD_DIM]
// dispatch: (ceil(count / QUERIES), KV_HEADS * BUNDLES)
// A lane is an entry while scores are made, then a dimension of the output: HEAD_DIM <= THREADS.

override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;
override PAGE_TOKENS: u32;
override VECS: u32 = 4u; // vec4s of query vectors a workgroup, at most 8
override THREADS: u32 = 64u;

override GROUP: u32 = HEADS / KV_HEADS;
override VECTORS: u32 = 4u * VECS;
override BUNDLE: u32 = min(GROUP, VECTORS); // heads of a workgroup
override BUNDLES: u32 = (GROUP + BUNDLE - 1u) / BUNDLE;
override QUERIES: u32 = VECTORS / BUNDLE; // rows of a workgroup
override KV_WIDTH: u32 = KV_HEADS * HEAD_DIM;
override PARTS: u32 = THREADS / VECTORS;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// (first row, rows)
// (HEAD_DIM / 2, parts of a reduction, SLOTS): here so that compilers leave the loops over them rolled up.
@group(0) @binding(7) var<uniform> params: array<vec4<u32>, 2>;

// Vector u is head u % BUNDLE of query u / BUNDLE; four vectors a vec4. The scale of the scores is in
// the queries already.
var<workgroup> queries: array<vec4<f32>, HEAD_DIM * VECS>;
// Of the tile's entries: scores, then their exponentials.
var<workgroup> scores: array<vec4<f32>, THREADS * VECS>;
var<workgroup> reduced: array<f32, THREADS>;
var<workgroup> page_rows: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // The last tile sees the most entries, so it goes first.
  let first_query = (groups.x - 1u - group.x) * QUERIES;
  let row = params[0].x + first_query;
  let position = rows[row * 2u].x - 1u;
  let table = rows[row * 2u + 1u].x;
  let queries_used = min(QUERIES, params[0].y - first_query);
  let end = position + queries_used;
  let kv_head = group.y / BUNDLES;
  let first_head = kv_head * GROUP + (group.y % BUNDLES) * BUNDLE;
  let heads_used = min(BUNDLE, (kv_head + 1u) * GROUP - first_head);
  let half = params[1].x;
  let slots = params[1].z;
  let width = (HEADS + 2u * KV_HEADS) * HEAD_DIM;
  let scale = inverseSqrt(f32(HEAD_DIM));

  for (var i = lane; i < HEAD_DIM * VECS; i += THREADS) {
    let dimension = i / VECS;
    let vector = vec4((i % VECS) * 4u) + vec4(0u, 1u, 2u, 3u);
    let query = min(vector / BUNDLE, vec4(queries_used - 1u));
    let head = first_head + min(vector % BUNDLE, vec4(heads_used - 1u));
    let at = (row + query) * width + head * HEAD_DIM + dimension;
    queries[i] = vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]) * scale;
  }

  let dimension = min(lane, HEAD_DIM - 1u);
  var largest: array<vec4<f32>, 8>;
  var total: array<vec4<f32>, 8>; // over this lane's entries
  var sum: array<vec4<f32>, 8>; // of this lane's dimension
  for (var v = 0u; v < VECS; v++) {
    largest[v] = vec4(-3.4e38);
  }

  for (var tile = 0u; tile < end; tile += THREADS) {
    let used = min(THREADS, end - tile);
    // Lanes past the end repeat the last entry and count for nothing.
    let slot = tile + min(lane, used - 1u);
    let source = pages[table + slot / PAGE_TOKENS] * PAGE_TOKENS + slot % PAGE_TOKENS;
    workgroupBarrier(); // the last tile's scores are no longer read; queries are there
    page_rows[lane] = source;
    let key_at = source * KV_WIDTH + kv_head * HEAD_DIM;
    var score: array<vec4<f32>, 8>;
    for (var v = 0u; v < VECS; v++) {
      score[v] = vec4(0.0); // Dawn's Vulkan backend zeroes a variable of a loop body only once
    }
    for (var i = 0u; i < half; i++) {
      let turn = angles[i * slots + slot];
      let a = keys[key_at + i];
      let b = keys[key_at + half + i];
      let ra = a * turn.x - b * turn.y;
      let rb = b * turn.x + a * turn.y;
      for (var v = 0u; v < VECS; v++) {
        score[v] += queries[i * VECS + v] * ra + queries[(half + i) * VECS + v] * rb;
      }
    }
    for (var v = 0u; v < VECS; v++) {
      let query = (vec4(v * 4u) + vec4(0u, 1u, 2u, 3u)) / BUNDLE;
      let seen = vec4(tile + lane) <= vec4(position) + query;
      score[v] = select(vec4(-3.4e38), score[v], seen);
      scores[lane * VECS + v] = score[v];
    }
    workgroupBarrier();
    if (lane < PARTS * VECTORS) {
      let vector = lane % VECTORS;
      var most = -3.4e38;
      for (var k = lane / VECTORS; k < THREADS; k += PARTS) {
        most = max(most, scores[k * VECS + vector / 4u][vector % 4u]);
      }
      reduced[lane] = most;
    }
    workgroupBarrier();
    for (var v = 0u; v < VECS; v++) {
      var most = largest[v];
      for (var part = 0u; part < params[1].y; part++) {
        let at = part * VECTORS + v * 4u;
        most = max(most, vec4(reduced[at], reduced[at + 1u], reduced[at + 2u], reduced[at + 3u]));
      }
      let shrink = exp(largest[v] - most);
      largest[v] = most;
      let query = (vec4(v * 4u) + vec4(0u, 1u, 2u, 3u)) / BUNDLE;
      let seen = vec4(tile + lane) <= vec4(position) + query;
      let weight = select(vec4(0.0), exp(score[v] - most), seen);
      total[v] = total[v] * shrink + weight;
      sum[v] *= shrink;
      scores[lane * VECS + v] = weight;
    }
    workgroupBarrier();
    for (var k = 0u; k < used; k++) {
      let value = values[page_rows[k] * KV_WIDTH + kv_head * HEAD_DIM + dimension];
      for (var v = 0u; v < VECS; v++) {
        sum[v] += scores[k * VECS + v] * value;
      }
    }
  }

  workgroupBarrier();
  for (var v = 0u; v < VECS; v++) {
    scores[lane * VECS + v] = total[v];
  }
  workgroupBarrier();
  if (lane < PARTS * VECTORS) {
    let vector = lane % VECTORS;
    var part_total = 0.0;
    for (var k = lane / VECTORS; k < THREADS; k += PARTS) {
      part_total += scores[k * VECS + vector / 4u][vector % 4u];
    }
    reduced[lane] = part_total;
  }
  workgroupBarrier();
  for (var v = 0u; v < VECS; v++) {
    var all = vec4(0.0);
    for (var part = 0u; part < params[1].y; part++) {
      let at = part * VECTORS + v * 4u;
      all += vec4(reduced[at], reduced[at + 1u], reduced[at + 2u], reduced[at + 3u]);
    }
    for (var c = 0u; c < 4u; c++) {
      let query = (v * 4u + c) / BUNDLE;
      let head = (v * 4u + c) % BUNDLE;
      if (query < queries_used && head < heads_used && lane < HEAD_DIM) {
        out[((row + query) * HEADS + first_head + head) * HEAD_DIM + lane] = sum[v][c] / all[c];
      }
    }
  }
}
