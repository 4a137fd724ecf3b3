// use: fp8 fp8-rows
enable subgroups;

// h[i] = silu(gate x[rows[i]]) * (up x[rows[i]]) for the rows that chose an expert.
//
// An expert is a record of words: the codes of gate and up [2 width, stride words], the codes of
// down, the f32 scales of gate and up from word `scales` on, the scales of down.
//
//   routes  [pairs, 2]  row of x (and, for expert-down, the f32 weight), grouped by expert
//   x       [tokens, x_stride vec4s]
//   h       [pairs, h_stride]
//
// Two experts, chosen by z, with one pair each: a_pair and b_pair. For software adapters with
// subgroups of 8: see lib/fp8-rows.wgsl. A lane's two rows are gate's and up's for the same output.
// Dispatch: ceil(width / 8) workgroups folded into y, by the number of experts in z.

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  scales: u32,
  x_stride: u32,
  h_stride: u32,
  a_pair: u32,
  b_pair: u32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> h: array<f32>;

fn silu(g: f32) -> f32 { return g / (1.0 + exp(-g)); }

fn compute(record: ptr<storage, array<vec4<u32>>, read>, first: u32, pair: u32, lane: u32) {
  // Rows past the end read the last row again; their sums are not stored.
  let stride = p.stride / 4u;
  let up = p.width * stride;
  let row = first + lane;
  let start = min(row, p.width - 1u) * stride;
  let vec4s = min(ROW_LANES, p.width - first) * stride;
  let touched = touch_rows(record, first * stride, vec4s, lane) +
    touch_rows(record, first * stride + up, vec4s, lane);
  let x_first = routes[pair].x * p.x_stride;
  let sum = multiply_rows(record, vec2(start, start + up), &x, x_first, p.words, lane) + touched;
  if (row < p.width) {
    let g = sum.x * (record_f32(record, p.scales + row) * FP8_SCALE);
    let u = sum.y * (record_f32(record, p.scales + p.width + row) * FP8_SCALE);
    h[pair * p.h_stride + row] = silu(g) * u;
  }
}

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROW_LANES;
  if (first >= p.width) { return; }
  if (group.z == 0u) {
    compute(&a, first, p.a_pair, lane);
  } else {
    compute(&b, first, p.b_pair, lane);
  }
}
