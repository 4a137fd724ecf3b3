// out[r, h] = softmax(q[r, h] k^T / sqrt(HEAD_DIM)) v over the n entries that row r sees, every row by
// itself; keys are stored un-rotated and rotated here by their slot (StreamingLLM, Xiao et al. 2023).
// Online softmax over tiles of THREADS entries (Milakov and Gimelshein 2018); where the row's
// entries are split, a workgroup takes `chunk` entries and attention-decode.combine.wgsl joins the parts (flash decoding).
//
// qkv: f32 [rows, (HEADS + 2 KV_HEADS) HEAD_DIM], queries rotated
// keys, values: f32 [pages * PAGE_TOKENS, KV_HEADS * HEAD_DIM]
// rows: two vec4 a row, pages: page tables (see rows.ts); angles: [HEAD_DIM / 2, SLOTS] (cos, sin)
// out: f32 [rows, HEADS, HEAD_DIM], or of splits [rows of this dispatch, HEADS, splits, HEAD_DIM + 2]:
//      the unnormalised sum, the largest score, the sum of the exponentials
// dispatch: (splits, KV_HEADS * bundles, rows); a bundle is up to 4 VECS heads of one key head.
// A lane is an entry while scores are made, then a dimension of the output: HEAD_DIM <= THREADS.

override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;
override PAGE_TOKENS: u32;
override VECS: u32 = 1u; // 1 or 2
override THREADS: u32 = 64u;

override GROUP: u32 = HEADS / KV_HEADS;
override BUNDLES: u32 = (GROUP + 4u * VECS - 1u) / (4u * VECS);
override KV_WIDTH: u32 = KV_HEADS * HEAD_DIM;
override LANES: u32 = 4u * VECS; // heads of a bundle
override PARTS: u32 = THREADS / LANES;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// (first row, entries a split, splits, whether out takes partial results)
// (HEAD_DIM / 2, parts of a reduction, SLOTS): here so that compilers leave the loops over them rolled up.
@group(0) @binding(7) var<uniform> params: array<vec4<u32>, 2>;

// Four heads a vec4; the scale of the scores is in the queries already.
var<workgroup> queries: array<vec4<f32>, HEAD_DIM * VECS>;
// Of the tile's entries: scores, then their exponentials.
var<workgroup> scores: array<vec4<f32>, THREADS * VECS>;
var<workgroup> reduced: array<f32, THREADS>;
var<workgroup> page_rows: array<u32, THREADS>;

fn page_row(slot: u32, view: vec4<u32>, table: u32) -> u32 {
  let sinks = view.y;
  let turn = view.z + slot - sinks;
  let late = sinks + select(turn, turn - view.w, turn >= view.w);
  let entry = select(late, slot, slot < sinks);
  return pages[table + entry / PAGE_TOKENS] * PAGE_TOKENS + entry % PAGE_TOKENS;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = params[0].x + group.z;
  let view = rows[row * 2u]; // n, sinks, start, ring
  let table = rows[row * 2u + 1u].x;
  let begin = group.x * params[0].y;
  let end = min(view.x, begin + params[0].y);
  if (begin >= end) {
    return;
  }
  let kv_head = group.y / BUNDLES;
  let first = (group.y % BUNDLES) * LANES; // head within the group
  let count = min(LANES, GROUP - first);
  let query_at = row * (HEADS + 2u * KV_HEADS) * HEAD_DIM + (kv_head * GROUP + first) * HEAD_DIM;
  let half = params[1].x;
  let slots = params[1].z;
  let scale = inverseSqrt(f32(HEAD_DIM));

  for (var i = lane; i < HEAD_DIM * VECS; i += THREADS) {
    let dimension = i / VECS;
    let head = vec4((i % VECS) * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = query_at + min(head, vec4(count - 1u)) * HEAD_DIM + dimension;
    queries[i] = vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]) * scale;
  }

  let dimension = min(lane, HEAD_DIM - 1u);
  var largest: array<vec4<f32>, 2>;
  var total: array<vec4<f32>, 2>; // over this lane's entries
  var sum: array<vec4<f32>, 2>; // of this lane's dimension
  for (var v = 0u; v < VECS; v++) {
    largest[v] = vec4(-3.4e38);
  }

  for (var tile = begin; tile < end; tile += THREADS) {
    let used = min(THREADS, end - tile);
    // Lanes past the end repeat the last entry and count for nothing.
    let slot = tile + min(lane, used - 1u);
    let source = page_row(slot, view, table);
    workgroupBarrier(); // the last tile's scores are no longer read; queries are there
    page_rows[lane] = source;
    let key_at = source * KV_WIDTH + kv_head * HEAD_DIM;
    var score: array<vec4<f32>, 2>;
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
      scores[lane * VECS + v] = score[v];
    }
    workgroupBarrier();
    if (lane < PARTS * LANES) {
      let head = lane % LANES;
      let part = lane / LANES;
      var most = -3.4e38;
      for (var k = part; k < THREADS; k += PARTS) {
        most = max(most, scores[k * VECS + head / 4u][head % 4u]);
      }
      reduced[lane] = most;
    }
    workgroupBarrier();
    for (var v = 0u; v < VECS; v++) {
      var most = largest[v];
      for (var part = 0u; part < params[1].y; part++) {
        let at = part * LANES + v * 4u;
        most = max(most, vec4(reduced[at], reduced[at + 1u], reduced[at + 2u], reduced[at + 3u]));
      }
      let shrink = exp(largest[v] - most);
      largest[v] = most;
      let weight = select(vec4(0.0), exp(score[v] - most), lane < used);
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
  if (lane < PARTS * LANES) {
    let head = lane % LANES;
    var part_total = 0.0;
    for (var k = lane / LANES; k < THREADS; k += PARTS) {
      part_total += scores[k * VECS + head / 4u][head % 4u];
    }
    reduced[lane] = part_total;
  }
  workgroupBarrier();
  for (var v = 0u; v < VECS; v++) {
    var all = vec4(0.0);
    for (var part = 0u; part < params[1].y; part++) {
      let at = part * LANES + v * 4u;
      all += vec4(reduced[at], reduced[at + 1u], reduced[at + 2u], reduced[at + 3u]);
    }
    for (var c = 0u; c < min(4u, count - min(count, v * 4u)); c++) {
      let head = kv_head * GROUP + first + v * 4u + c;
      let partial = params[0].w == 1u;
      let part = ((group.z * HEADS + head) * params[0].z + group.x) * (HEAD_DIM + 2u);
      let at = select((row * HEADS + head) * HEAD_DIM, part, partial);
      if (lane < HEAD_DIM) {
        out[at + lane] = sum[v][c] / select(all[c], 1.0, partial);
      }
      if (partial && lane == 0u) {
        out[at + HEAD_DIM] = largest[v][c];
        out[at + HEAD_DIM + 1u] = all[c];
      }
    }
  }
}
