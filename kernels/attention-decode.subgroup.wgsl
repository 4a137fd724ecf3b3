enable subgroups;

// attention-decode.wgsl for adapters with subgroups of 8, which are software: one subgroup a workgroup, no
// barriers, and as few loads as can be, because there a load of 8 lanes costs as much as 20 operations.
// Four key tiles of 8 share each query and each angle, turned from tile to tile; what every lane needs
// of another goes by shuffle.
//
// Formula, buffers, dispatch: as attention-decode.wgsl with VECS = 1; HEAD_DIM a multiple of 16, at most 64.
// A lane is an entry while scores are made, then every eighth dimension of the output.

override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;
override PAGE_TOKENS: u32;
override GROUP: u32 = HEADS / KV_HEADS;
override BUNDLES: u32 = (GROUP + 3u) / 4u;
override KV_WIDTH: u32 = KV_HEADS * HEAD_DIM;
override BLOCKS: u32 = HEAD_DIM / 8u;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// (first row, entries a split, splits, whether out takes partial results)
// (HEAD_DIM / 2, 0, SLOTS, 8): here so that compilers leave the loops over them rolled up.
@group(0) @binding(7) var<uniform> params: array<vec4<u32>, 2>;

var<private> first_slot: u32; // of this lane, in the first of the four tiles
var<private> key_at: array<u32, 4>;
var<private> score: array<vec4<f32>, 4>; // four heads a vec4
var<private> sum: array<vec4<f32>, 8>; // of dimensions lane, lane + 8, ...

fn page_row(slot: u32, view: vec4<u32>, table: u32) -> u32 {
  let sinks = view.y;
  let turn = view.z + slot - sinks;
  let late = sinks + select(turn, turn - view.w, turn >= view.w);
  let entry = select(late, slot, slot < sinks);
  return pages[table + entry / PAGE_TOKENS] * PAGE_TOKENS + entry % PAGE_TOKENS;
}

// Adds dimensions i and i + half of the queries to the scores; `step` turns by 8 slots.
fn add_pair(i: u32, qa: vec4<f32>, qb: vec4<f32>, step: vec2<f32>) {
  var turn = angles[i * params[1].z + first_slot];
  for (var b = 0u; b < 4u; b++) {
    let x = keys[key_at[b] + i];
    let y = keys[key_at[b] + params[1].x + i];
    score[b] += qa * (x * turn.x - y * turn.y) + qb * (y * turn.x + x * turn.y);
    turn = vec2(turn.x * step.x - turn.y * step.y, turn.y * step.x + turn.x * step.y);
  }
}

// Adds the value that begins at `at` - lane to the sums of this lane's dimensions.
fn add_value(at: u32, weight: vec4<f32>) {
  for (var d = 0u; d < BLOCKS; d++) {
    sum[d] += weight * values[at + d * 8u];
  }
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = params[0].x + group.z;
  let view = rows[row * 2u]; // n, sinks, start, ring
  let table = rows[row * 2u + 1u].x;
  let begin = group.x * params[0].y;
  let end = min(view.x, begin + params[0].y);
  if (begin >= end) {
    return;
  }
  let half = params[1].x;
  let eight = params[1].w;
  let slots = params[1].z;
  let kv_head = group.y / BUNDLES;
  let first = (group.y % BUNDLES) * 4u;
  let count = min(4u, GROUP - first);
  let query_at = (row * (HEADS + 2u * KV_HEADS) + kv_head * GROUP + first) * HEAD_DIM;
  let query = vec4(query_at) + min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u)) * HEAD_DIM;
  let scale = inverseSqrt(f32(HEAD_DIM));

  var largest = vec4(-3.4e38);
  var total = vec4(0.0);
  for (var d = 0u; d < BLOCKS; d++) {
    sum[d] = vec4(0.0);
  }

  for (var tile = begin; tile < end; tile += 32u) {
    first_slot = min(tile + lane, slots - 1u);
    for (var b = 0u; b < 4u; b++) {
      // Lanes past the end repeat the last entry and count for nothing.
      let slot = min(tile + b * 8u + lane, end - 1u);
      key_at[b] = page_row(slot, view, table) * KV_WIDTH + kv_head * HEAD_DIM;
      score[b] = vec4(0.0);
    }
    for (var i = 0u; i < half; i += 8u) {
      let at = query + vec4(i + lane);
      let qa = vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
      let bt = at + vec4(half);
      let qb = vec4(qkv[bt.x], qkv[bt.y], qkv[bt.z], qkv[bt.w]);
      // Of at most 8 slots there is one tile only, and the step is not used.
      let step = angles[(i + lane) * slots + min(8u, slots - 1u)];
      for (var e = 0u; e < eight; e++) {
        add_pair(i + e, subgroupShuffle(qa, e), subgroupShuffle(qb, e), subgroupShuffle(step, e));
      }
    }
    var most = largest;
    for (var b = 0u; b < 4u; b++) {
      score[b] *= scale;
      let seen = tile + b * 8u + lane < end;
      score[b] = select(vec4(-3.4e38), score[b], seen);
      most = max(most, score[b]);
    }
    most = subgroupMax(most);
    let shrink = exp(largest - most);
    largest = most;
    total *= shrink;
    for (var b = 0u; b < 4u; b++) {
      let seen = tile + b * 8u + lane < end;
      score[b] = select(vec4(0.0), exp(score[b] - most), seen);
      total += score[b];
    }
    for (var d = 0u; d < BLOCKS; d++) {
      sum[d] *= shrink;
    }
    let used = (min(32u, end - tile) + 7u) / 8u;
    for (var b = 0u; b < used; b++) {
      let weight = score[b];
      let value_at = key_at[b];
      for (var e = 0u; e < eight; e++) {
        add_value(subgroupShuffle(value_at, e) + lane, subgroupShuffle(weight, e));
      }
    }
  }
  total = subgroupAdd(total);
  for (var c = 0u; c < count; c++) {
    let head = kv_head * GROUP + first + c;
    let partial = params[0].w == 1u;
    let part = ((group.z * HEADS + head) * params[0].z + group.x) * (HEAD_DIM + 2u);
    let at = select((row * HEADS + head) * HEAD_DIM, part, partial);
    let divisor = select(total[c], 1.0, partial);
    for (var d = 0u; d < BLOCKS; d++) {
      out[at + d * 8u + lane] = sum[d][c] / divisor;
    }
    if (partial && lane == 0u) {
      out[at + HEAD_DIM] = largest[c];
      out[at + HEAD_DIM + 1u] = total[c];
    }
  }
}
