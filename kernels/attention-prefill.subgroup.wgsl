enable subgroups;

// attention-prefill.wgsl for adapters with subgroups of 8, which are software: one subgroup a workgroup, no
// barriers, and as few loads as can be, because there a load of 8 lanes costs as much as 20 operations.
// 16 query vectors share two tiles of 8 keys, rotated once, and their values; what every lane needs of
// another goes by shuffle.
//
// Formula, buffers, dispatch: as attention-prefill.wgsl with VECS = 4; HEAD_DIM a multiple of 16, at most
// 64. A lane is an entry while scores are made, then every eighth dimension of the output.

override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;
override PAGE_TOKENS: u32;

override GROUP: u32 = HEADS / KV_HEADS;
override BUNDLE: u32 = min(GROUP, 16u); // heads of a workgroup
override BUNDLES: u32 = (GROUP + BUNDLE - 1u) / BUNDLE;
override QUERIES: u32 = 16u / BUNDLE; // rows of a workgroup
override KV_WIDTH: u32 = KV_HEADS * HEAD_DIM;
override BLOCKS: u32 = HEAD_DIM / 8u;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// (first row, rows, 4)
// (HEAD_DIM / 2, 0, SLOTS, 8): loop bounds are here so that compilers leave the loops over them rolled up.
@group(0) @binding(7) var<uniform> params: array<vec4<u32>, 2>;

// Vector u is head u % BUNDLE of query u / BUNDLE; four vectors a vec4.
var<private> score: array<vec4<f32>, 8>; // [tile, 4]
var<private> sum: array<vec4<f32>, 32>; // [dimensions lane, lane + 8, ..., 4]

// The values of lanes 0 to 3, and of lanes 4 to 7.
fn low(x: f32) -> vec4<f32> {
  return vec4(
    subgroupBroadcast(x, 0u),
    subgroupBroadcast(x, 1u),
    subgroupBroadcast(x, 2u),
    subgroupBroadcast(x, 3u),
  );
}

fn high(x: f32) -> vec4<f32> {
  return vec4(
    subgroupBroadcast(x, 4u),
    subgroupBroadcast(x, 5u),
    subgroupBroadcast(x, 6u),
    subgroupBroadcast(x, 7u),
  );
}

// Offset in qkv of a vector's query; of one that is not used, that of one that is.
fn query_at(vector: u32, row: u32, queries_used: u32, first_head: u32, heads_used: u32) -> u32 {
  let query = min(vector / BUNDLE, queries_used - 1u);
  let head = first_head + min(vector % BUNDLE, heads_used - 1u);
  return ((row + query) * (HEADS + 2u * KV_HEADS) + head) * HEAD_DIM;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
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
  let scale = inverseSqrt(f32(HEAD_DIM));
  // This lane fetches the queries of vectors lane and lane + 8 for all.
  let query0 = query_at(lane, row, queries_used, first_head, heads_used);
  let query1 = query_at(lane + 8u, row, queries_used, first_head, heads_used);

  var largest: array<vec4<f32>, 4>;
  var total: array<vec4<f32>, 4>; // over this lane's entries
  for (var v = 0u; v < 4u; v++) {
    largest[v] = vec4(-3.4e38);
    total[v] = vec4(0.0);
  }
  for (var d = 0u; d < 4u * BLOCKS; d++) {
    sum[d] = vec4(0.0);
  }

  for (var tile = 0u; tile < end; tile += 16u) {
    var slot: array<u32, 2>;
    var key_at: array<u32, 2>;
    for (var b = 0u; b < 2u; b++) {
      // Lanes past the end repeat the last entry and count for nothing.
      slot[b] = min(tile + b * 8u + lane, end - 1u);
      let source = pages[table + slot[b] / PAGE_TOKENS] * PAGE_TOKENS + slot[b] % PAGE_TOKENS;
      key_at[b] = source * KV_WIDTH + kv_head * HEAD_DIM;
    }
    for (var s = 0u; s < 8u; s++) {
      score[s] = vec4(0.0);
    }
    for (var i = 0u; i < half; i++) {
      let x0 = qkv[query0 + i];
      let x1 = qkv[query1 + i];
      let y0 = qkv[query0 + half + i];
      let y1 = qkv[query1 + half + i];
      let x = array<vec4<f32>, 4>(low(x0), high(x0), low(x1), high(x1));
      let y = array<vec4<f32>, 4>(low(y0), high(y0), low(y1), high(y1));
      for (var b = 0u; b < 2u; b++) {
        let turn = angles[i * slots + slot[b]];
        let p = keys[key_at[b] + i];
        let q = keys[key_at[b] + half + i];
        let rp = p * turn.x - q * turn.y;
        let rq = q * turn.x + p * turn.y;
        for (var v = 0u; v < 4u; v++) {
          score[b * 4u + v] += x[v] * rp + y[v] * rq;
        }
      }
    }
    for (var v = 0u; v < 4u; v++) {
      let last = vec4(position) + (vec4(v * 4u) + vec4(0u, 1u, 2u, 3u)) / BUNDLE;
      let seen0 = vec4(tile + lane) <= last;
      let seen1 = vec4(tile + lane + 8u) <= last;
      let score0 = select(vec4(-3.4e38), score[v] * scale, seen0);
      let score1 = select(vec4(-3.4e38), score[4u + v] * scale, seen1);
      let most = subgroupMax(max(largest[v], max(score0, score1)));
      let shrink = exp(largest[v] - most);
      largest[v] = most;
      score[v] = select(vec4(0.0), exp(score0 - most), seen0);
      score[4u + v] = select(vec4(0.0), exp(score1 - most), seen1);
      total[v] = total[v] * shrink + score[v] + score[4u + v];
      for (var d = 0u; d < BLOCKS; d++) {
        sum[d * 4u + v] *= shrink;
      }
    }
    for (var e = 0u; e < params[1].w; e++) {
      for (var b = 0u; b < 2u; b++) {
        let value_at = subgroupShuffle(key_at[b], e) + lane;
        var weight: array<vec4<f32>, 4>;
        for (var v = 0u; v < 4u; v++) {
          weight[v] = subgroupShuffle(score[b * 4u + v], e);
        }
        for (var d = 0u; d < BLOCKS; d++) {
          let value = values[value_at + d * 8u];
          for (var v = 0u; v < 4u; v++) {
            sum[d * 4u + v] += weight[v] * value;
          }
        }
      }
    }
  }

  for (var v = 0u; v < 4u; v++) {
    let all = subgroupAdd(total[v]);
    for (var c = 0u; c < params[0].z; c++) {
      let query = (v * 4u + c) / BUNDLE;
      let head = (v * 4u + c) % BUNDLE;
      if (query < queries_used && head < heads_used) {
        let at = ((row + query) * HEADS + first_head + head) * HEAD_DIM + lane;
        for (var d = 0u; d < BLOCKS; d++) {
          out[at + d * 8u] = sum[d * 4u + v][c] / all[c];
        }
      }
    }
  }
}
