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
// `experts` experts, 1 or 2, with one pair each: a_pair and b_pair. For software adapters with
// subgroups of 8: see lib/fp8-rows.wgsl. The same lane adds what both experts have for a row, because
// both pairs may be of one token.
// Dispatch: ceil(width / 16) workgroups folded into y.

const ROWS = 2u * ROW_LANES;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  codes: u32,
  scales: u32,
  h_stride: u32,
  out_stride: u32,
  experts: u32,
  a_pair: u32,
  b_pair: u32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

fn store(record: ptr<storage, array<vec4<u32>>, read>, route: vec2<u32>, row: u32, sum: f32) {
  if (row >= p.width) { return; }
  let weight = bitcast<f32>(route.y) * FP8_SCALE;
  out[route.x * p.out_stride + row] += sum * (record_f32(record, p.scales + row) * weight);
}

fn compute(record: ptr<storage, array<vec4<u32>>, read>, first: u32, pair: u32, lane: u32) {
  // Rows past the end read the last row again; their sums are not stored.
  let stride = p.stride / 4u;
  let codes = p.codes / 4u;
  let row = vec2(first + lane, first + ROW_LANES + lane);
  let start = codes + min(row, vec2(p.width - 1u)) * stride;
  let vec4s = min(ROWS, p.width - first) * stride;
  let touched = touch_rows(record, codes + first * stride, vec4s, lane);
  let sum = multiply_rows(record, start, &h, pair * p.h_stride, p.words, lane) + touched;
  store(record, routes[pair], row.x, sum.x);
  store(record, routes[pair], row.y, sum.y);
}

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.width) { return; }
  compute(&a, first, p.a_pair, lane);
  if (p.experts == 2u) { compute(&b, first, p.b_pair, lane); }
}
