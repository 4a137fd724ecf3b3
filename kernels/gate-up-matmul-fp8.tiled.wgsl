// use: fp8

// out[t, i] = silu(g) u, g = sum over c of w[i, c] x[t, c], u = sum over c of w[rows + i, c] x[t, c].
// The matrix holds gate's rows, then as many rows of up.
//
//   codes   [2 rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [2 rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// A workgroup computes 32 outputs, from 32 rows of gate and 32 of up, for 64 tokens; each of its 256
// lanes 2 by 4 of them. 16 columns at a time pass through workgroup memory.
// Dispatch: ceil(rows / 32) workgroups folded into y, by ceil(tokens / 64) in z.

const TILE = 64u;
const OUTPUTS = 32u;
const DEPTH = 16u;
const ROWS = 2u;
const TOKENS = 4u;

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

var<workgroup> w_tile: array<array<f32, TILE>, DEPTH>;
var<workgroup> x_tile: array<array<f32, TILE>, DEPTH>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * OUTPUTS;
  let token = group.z * TILE;
  if (first >= p.rows || token >= p.tokens) { return; }

  // What this lane loads: word `word` of the step, for line `line` of both tiles. Lines 0..31 of the
  // weights are gate's, 32..63 are up's.
  let line = lane / 4u;
  let word = lane % 4u;
  let half = line / OUTPUTS * p.rows;
  let w_start = (half + min(first + line % OUTPUTS, p.rows - 1u)) * p.stride;
  let x_start = (p.x_first + min(token + line, p.tokens - 1u)) * p.x_stride;
  // What it computes.
  let my_row = lane % 16u * ROWS;
  let my_token = lane / 16u * TOKENS;

  var gate_sum: array<array<f32, TOKENS>, ROWS>;
  var up_sum: array<array<f32, TOKENS>, ROWS>;
  for (var step = 0u; step < p.words; step += DEPTH / 4u) {
    var w = vec4<f32>();
    var v = vec4<f32>();
    if (step + word < p.words) {
      w = fp8_decode(codes[w_start + step + word]);
      v = x[x_start + step + word];
    }
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      w_tile[word * 4u + i][line] = w[i];
      x_tile[word * 4u + i][line] = v[i];
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      var mine: array<f32, TOKENS>;
      for (var t = 0u; t < TOKENS; t++) { mine[t] = x_tile[k][my_token + t]; }
      for (var r = 0u; r < ROWS; r++) {
        let g = w_tile[k][my_row + r];
        let u = w_tile[k][OUTPUTS + my_row + r];
        for (var t = 0u; t < TOKENS; t++) {
          gate_sum[r][t] += g * mine[t];
          up_sum[r][t] += u * mine[t];
        }
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) {
    let row = first + my_row + r;
    for (var t = 0u; t < TOKENS; t++) {
      if (row < p.rows && token + my_token + t < p.tokens) {
        let g = gate_sum[r][t] * (scales[row] * FP8_SCALE);
        let u = up_sum[r][t] * (scales[p.rows + row] * FP8_SCALE);
        let at = (p.out_first + token + my_token + t) * p.out_stride + p.out_column + row;
        out[at] = g / (1.0 + exp(-g)) * u;
      }
    }
  }
}
