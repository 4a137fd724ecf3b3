enable subgroups;

// attention-decode.wgsl and attention-prefill.wgsl for rows that see few entries, on adapters with
// subgroups of 8, which are software: one subgroup for each row and head. It shares no key and no value
// among queries, and compiles in a fifth of the time (see matmul-fp8.small.wgsl).
//
// Formula and buffers: as attention-decode.wgsl. Dispatch: (HEADS, rows). A lane is an entry while
// scores are made, then every eighth dimension of the output.

const ENTRIES = 256u; // that a row sees at most

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read> pages: array<u32>;
@group(0) @binding(5) var<storage, read> angles: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// (first row, heads, key heads, dimensions of a head)
// (tokens a page, slots of angles)
@group(0) @binding(7) var<uniform> params: array<vec4<u32>, 2>;

// Of the entries that the row sees: scores, then their exponentials; where the values begin.
var<workgroup> scores: array<f32, ENTRIES>;
var<workgroup> starts: array<u32, ENTRIES>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = params[0].x + group.y;
  let heads = params[0].y;
  let kv_heads = params[0].z;
  let width = params[0].w;
  let half = width / 2u;
  let kv_head = group.x / (heads / kv_heads);
  // A row's n, sinks, start, ring and page table: one load, shared out.
  let view = rows[row * 8u + lane];
  let n = min(subgroupBroadcast(view, 0u), ENTRIES);
  let sinks = subgroupBroadcast(view, 1u);
  let begin = subgroupBroadcast(view, 2u);
  let ring = subgroupBroadcast(view, 3u);
  let table = subgroupBroadcast(view, 4u);
  let query = row * (heads + 2u * kv_heads) * width + group.x * width;

  var largest = -3.4e38;
  for (var slot = lane; slot < n; slot += 8u) {
    let turned = begin + slot - sinks;
    let late = sinks + select(turned, turned - ring, turned >= ring);
    let entry = select(late, slot, slot < sinks);
    let page = pages[table + entry / params[1].x];
    let start = ((page * params[1].x + entry % params[1].x) * kv_heads + kv_head) * width;
    var score = 0.0;
    for (var i = 0u; i < half; i++) {
      let turn = angles[i * params[1].y + slot];
      let a = keys[start + i];
      let b = keys[start + half + i];
      score += qkv[query + i] * (a * turn.x - b * turn.y) +
        qkv[query + half + i] * (b * turn.x + a * turn.y);
    }
    score *= inverseSqrt(f32(width));
    scores[slot] = score;
    starts[slot] = start;
    largest = max(largest, score);
  }
  largest = subgroupMax(largest);
  var total = 0.0;
  for (var slot = lane; slot < n; slot += 8u) {
    let weight = exp(scores[slot] - largest);
    scores[slot] = weight;
    total += weight;
  }
  total = subgroupAdd(total);
  workgroupBarrier();
  for (var d = lane; d < width; d += 8u) {
    var sum = 0.0;
    for (var slot = 0u; slot < n; slot++) {
      sum += scores[slot] * values[starts[slot] + d];
    }
    out[(row * heads + group.x) * width + d] = sum / total;
  }
}
