// use: fp8

// out[i] = silu(g) u, g = sum over c of w[i, c] x[c], u = sum over c of w[rows + i, c] x[c]; for one
// token. The matrix holds gate's rows, then as many rows of up.
//
//   codes   [2 rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [2 rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// The lanes of a workgroup share the words of 8 rows of gate and 8 of up.
// Dispatch: ceil(rows / 8) workgroups, folded into y.

override LANES: u32 = 64u;
const ROWS = 8u;
const SUMS = 2u * ROWS;

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
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// What every lane has of every sum; the lanes then finish one sum each. Subgroup sums instead would
// be as fast, but made software adapters compile for several seconds.
var<workgroup> partial: array<f32, SUMS * LANES>;

fn total(s: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += partial[s * LANES + i]; }
  return sum;
}

fn silu(g: f32) -> f32 { return g / (1.0 + exp(-g)); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.rows) { return; }

  // Rows past the end read the last row again; their sums are not stored.
  let up = p.rows * p.stride;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(first + r, p.rows - 1u) * p.stride; }

  let x_start = p.x_first * p.x_stride;
  var sum: array<f32, SUMS>;
  for (var j = lane; j < p.words; j += LANES) {
    let v = x[x_start + j];
    for (var r = 0u; r < ROWS; r++) {
      sum[r] += dot(fp8_decode(codes[start[r] + j]), v);
      sum[ROWS + r] += dot(fp8_decode(codes[start[r] + up + j]), v);
    }
  }
  for (var s = 0u; s < SUMS; s++) { partial[s * LANES + lane] = sum[s]; }
  workgroupBarrier();

  for (var r = lane; r < ROWS; r += LANES) {
    let row = first + r;
    if (row < p.rows) {
      let g = total(r) * (scales[row] * FP8_SCALE);
      let u = total(ROWS + r) * (scales[p.rows + row] * FP8_SCALE);
      out[p.out_first * p.out_stride + p.out_column + row] = silu(g) * u;
    }
  }
}
