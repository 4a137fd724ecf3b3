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
// One expert, whose pairs are first.., four at a time. For software adapters with subgroups of 8: see
// lib/fp8-rows.wgsl. A lane's two rows are gate's and up's for the same output.
// Dispatch: ceil(width / 8) workgroups folded into y, by ceil(count / 4) in z.

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  scales: u32,
  x_stride: u32,
  h_stride: u32,
  first: u32,
  count: u32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> record: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> h: array<f32>;

fn silu(g: vec4<f32>) -> vec4<f32> { return g / (1.0 + exp(-g)); }

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROW_LANES;
  let pair = group.z * 4u;
  if (first >= p.width || pair >= p.count) { return; }

  // Rows and pairs past the end read the last one again; their sums are not stored.
  let stride = p.stride / 4u;
  let up = p.width * stride;
  let row = first + lane;
  let start = min(row, p.width - 1u) * stride;
  let vec4s = min(ROW_LANES, p.width - first) * stride;
  let touched = touch_rows(&record, first * stride, vec4s, lane) +
    touch_rows(&record, first * stride + up, vec4s, lane);
  let pairs = p.first + min(vec4(pair) + vec4(0u, 1u, 2u, 3u), vec4(p.count - 1u));
  let x_first = p.x_stride *
    vec4(routes[pairs.x].x, routes[pairs.y].x, routes[pairs.z].x, routes[pairs.w].x);
  let sum = multiply_rows_by_four(&record, vec2(start, start + up), &x, x_first, p.words, lane);
  if (row >= p.width) { return; }
  let g = (sum.a + touched) * (record_f32(&record, p.scales + row) * FP8_SCALE);
  let u = sum.b * (record_f32(&record, p.scales + p.width + row) * FP8_SCALE);
  let value = silu(g) * u;
  for (var t = 0u; t < min(4u, p.count - pair); t++) {
    h[(p.first + pair + t) * p.h_stride + row] = value[t];
  }
}
