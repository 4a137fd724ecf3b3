// use: fp8 fp8-rows
enable subgroups;

// out[r] = sum over c of w[r, c] x[c], or out[r] += … when `add`; for one token.
//
//   codes   [rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// For software adapters with subgroups of 8: see lib/fp8-rows.wgsl.
// Dispatch: ceil(rows / 16) workgroups, folded into y.

const ROWS = 2u * ROW_LANES;

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

fn store(row: u32, sum: f32) {
  if (row >= p.rows) { return; }
  let value = sum * (scales[row] * FP8_SCALE);
  let at = p.out_first * p.out_stride + p.out_column + row;
  if (p.add != 0u) { out[at] += value; } else { out[at] = value; }
}

@compute @workgroup_size(ROW_LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.rows) { return; }

  // Rows past the end read the last row again; their sums are not stored.
  let stride = p.stride / 4u;
  let row = vec2(first + lane, first + ROW_LANES + lane);
  let start = min(row, vec2(p.rows - 1u)) * stride;
  let touched = touch_rows(&codes, first * stride, min(ROWS, p.rows - first) * stride, lane);
  let sum = multiply_rows(&codes, start, &x, p.x_first * p.x_stride, p.words, lane) + touched;
  store(row.x, sum.x);
  store(row.y, sum.y);
}
