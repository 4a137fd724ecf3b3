// use: fp8

// out[t, i] = silu(g) u, g = sum over c of w[i, c] x[t, c], u = sum over c of w[rows + i, c] x[t, c].
// The matrix holds gate's rows, then as many rows of up.
//
//   codes   [2 rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [2 rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// The lanes of a workgroup share the words of 4 rows of gate, 4 of up and 4 tokens.
// Dispatch: ceil(rows / 4) workgroups folded into y, by ceil(tokens / 4) in z.

override LANES: u32 = 64u;
const ROWS = 4u;
const TOKENS = 4u;
const SUMS = 2u * ROWS * TOKENS;

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
  let token = group.z * TOKENS;
  if (first >= p.rows || token >= p.tokens) { return; }

  // Rows and tokens past the end read the last one again; their sums are not stored.
  let up = p.rows * p.stride;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(first + r, p.rows - 1u) * p.stride; }
  var x_start: array<u32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) {
    x_start[t] = (p.x_first + min(token + t, p.tokens - 1u)) * p.x_stride;
  }

  var gate_sum: array<array<f32, TOKENS>, ROWS>;
  var up_sum: array<array<f32, TOKENS>, ROWS>;
  for (var j = lane; j < p.words; j += LANES) {
    var v: array<vec4<f32>, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { v[t] = x[x_start[t] + j]; }
    for (var r = 0u; r < ROWS; r++) {
      let g = fp8_decode(codes[start[r] + j]);
      let u = fp8_decode(codes[start[r] + up + j]);
      for (var t = 0u; t < TOKENS; t++) {
        gate_sum[r][t] += dot(g, v[t]);
        up_sum[r][t] += dot(u, v[t]);
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var t = 0u; t < TOKENS; t++) {
      let s = t * ROWS + r;
      partial[s * LANES + lane] = gate_sum[r][t];
      partial[(SUMS / 2u + s) * LANES + lane] = up_sum[r][t];
    }
  }
  workgroupBarrier();

  for (var s = lane; s < SUMS / 2u; s += LANES) {
    let row = first + s % ROWS;
    let to = token + s / ROWS;
    if (row < p.rows && to < p.tokens) {
      let g = total(s) * (scales[row] * FP8_SCALE);
      let u = total(SUMS / 2u + s) * (scales[p.rows + row] * FP8_SCALE);
      out[(p.out_first + to) * p.out_stride + p.out_column + row] = silu(g) * u;
    }
  }
}
