// use: fp8 fp8-rows
enable subgroups;

// out[i] = silu(g) u, g = sum over c of w[i, c] x[c], u = sum over c of w[rows + i, c] x[c]; for one
// token. The matrix holds gate's rows, then as many rows of up.
//
//   codes   [2 rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [2 rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// For software adapters with subgroups of 8: see lib/fp8-rows.wgsl. A lane's two rows are gate's and
// up's for the same output.
// Dispatch: ceil(rows / 8) workgroups, folded into y.

struct Params {
  rows: u32,
  words: u32,
  stride: u32,
  tokens: u32,
  x_stride: u32,
  out_stride: u32,
  out_column: u32,
  add: u32,
  x_first: u32,
  out_first: u32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn silu(g: f32) -> f32 { return g / (1.0 + exp(-g)); }

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROW_LANES;
  if (first >= p.rows) { return; }

  // Rows past the end read the last row again; their sums are not stored.
  let stride = p.stride / 4u;
  let up = p.rows * stride;
  let row = first + lane;
  let start = min(row, p.rows - 1u) * stride;
  let vec4s = min(ROW_LANES, p.rows - first) * stride;
  let touched = touch_rows(&codes, first * stride, vec4s, lane) +
    touch_rows(&codes, first * stride + up, vec4s, lane);
  let x_first = p.x_first * p.x_stride;
  let sum = multiply_rows(&codes, vec2(start, start + up), &x, x_first, p.words, lane) + touched;
  if (row < p.rows) {
    let g = sum.x * (scales[row] * FP8_SCALE);
    let u = sum.y * (scales[p.rows + row] * FP8_SCALE);
    out[p.out_first * p.out_stride + p.out_column + row] = silu(g) * u;
  }
}
