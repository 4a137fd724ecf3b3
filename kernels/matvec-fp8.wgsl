// use: fp8

// out[r] = sum over c of w[r, c] x[c], or out[r] += … when `add`; for one token.
//
//   codes   [rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// The lanes of a workgroup share the words of 16 rows: a word of x that is loaded serves them all.
// Dispatch: ceil(rows / 16) workgroups, folded into y.

override LANES: u32 = 64u;
const ROWS = 16u;
const SUMS = ROWS;

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

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.rows) { return; }

  // Rows past the end read the last row again; their sums are not stored.
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(first + r, p.rows - 1u) * p.stride; }

  let x_start = p.x_first * p.x_stride;
  var sum: array<f32, ROWS>;
  for (var j = lane; j < p.words; j += LANES) {
    let v = x[x_start + j];
    for (var r = 0u; r < ROWS; r++) { sum[r] += dot(fp8_decode(codes[start[r] + j]), v); }
  }
  for (var r = 0u; r < ROWS; r++) { partial[r * LANES + lane] = sum[r]; }
  workgroupBarrier();

  for (var r = lane; r < ROWS; r += LANES) {
    let row = first + r;
    if (row < p.rows) {
      let value = total(r) * (scales[row] * FP8_SCALE);
      let at = p.out_first * p.out_stride + p.out_column + row;
      if (p.add != 0u) { out[at] += value; } else { out[at] = value; }
    }
  }
}
