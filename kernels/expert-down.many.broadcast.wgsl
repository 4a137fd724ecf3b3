// use: fp8 fp8-rows
enable subgroups;

// out[rows[i]] += weights[i] * (down h[i]) for the rows that chose an expert.
//
// An expert is a record of words: the codes of gate and up, from word `codes` on the codes of down
// [width, stride words], the f32 scales of gate and up, from word `scales` on the scales of down.
//
//   routes  [pairs, 2]  row of out, f32 weight; grouped by expert
//   h       [pairs, h_stride vec4s], from expert-gate-up
//   out     [tokens, out_stride]
//
// One expert, whose pairs are first.., four at a time; no two of them are of one token. For software
// adapters with subgroups of 8: see lib/fp8-rows.wgsl.
// Dispatch: ceil(width / 16) workgroups folded into y, by ceil(count / 4) in z.

const ROWS = 2u * ROW_LANES;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  codes: u32,
  scales: u32,
  h_stride: u32,
  out_stride: u32,
  first: u32,
  count: u32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> record: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn store(row: u32, pair: u32, sum: vec4<f32>) {
  if (row >= p.width) { return; }
  let scale = record_f32(&record, p.scales + row) * FP8_SCALE;
  for (var t = 0u; t < min(4u, p.count - pair); t++) {
    let route = routes[p.first + pair + t];
    out[route.x * p.out_stride + row] += sum[t] * (scale * bitcast<f32>(route.y));
  }
}

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  let pair = group.z * 4u;
  if (first >= p.width || pair >= p.count) { return; }

  // Rows and pairs past the end read the last one again; their sums are not stored.
  let stride = p.stride / 4u;
  let codes = p.codes / 4u;
  let row = vec2(first + lane, first + ROW_LANES + lane);
  let start = codes + min(row, vec2(p.width - 1u)) * stride;
  let vec4s = min(ROWS, p.width - first) * stride;
  let touched = touch_rows(&record, codes + first * stride, vec4s, lane);
  let pairs = p.first + min(vec4(pair) + vec4(0u, 1u, 2u, 3u), vec4(p.count - 1u));
  let sum = multiply_rows_by_four(&record, start, &h, pairs * p.h_stride, p.words, lane);
  store(row.x, pair, sum.a + touched);
  store(row.y, pair, sum.b);
}
