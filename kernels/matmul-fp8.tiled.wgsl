// use: fp8

// out[t, r] = sum over c of w[r, c] x[t, c], or out[t, r] += … when `add`.
//
//   codes   [rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// A workgroup computes a tile of 64 rows by 64 tokens, each of its 256 lanes 4 by 4 of it, and takes
// 16 columns at a time through workgroup memory.
// Dispatch: ceil(rows / 64) workgroups folded into y, by ceil(tokens / 64) in z.

const TILE = 64u;
const DEPTH = 16u;
const EACH = 4u;

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
  let first = (group.y * groups.x + group.x) * TILE;
  let token = group.z * TILE;
  if (first >= p.rows || token >= p.tokens) { return; }

  // What this lane loads: word `word` of the step, for row and token `line` of the tile.
  let line = lane / 4u;
  let word = lane % 4u;
  let w_start = min(first + line, p.rows - 1u) * p.stride;
  let x_start = (p.x_first + min(token + line, p.tokens - 1u)) * p.x_stride;
  // What it computes.
  let my_row = lane % 16u * EACH;
  let my_token = lane / 16u * EACH;

  var sum: array<array<f32, EACH>, EACH>;
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
      var mine: array<f32, EACH>;
      for (var t = 0u; t < EACH; t++) { mine[t] = x_tile[k][my_token + t]; }
      for (var r = 0u; r < EACH; r++) {
        let weight = w_tile[k][my_row + r];
        for (var t = 0u; t < EACH; t++) { sum[r][t] += weight * mine[t]; }
      }
    }
  }

  for (var r = 0u; r < EACH; r++) {
    let row = first + my_row + r;
    for (var t = 0u; t < EACH; t++) {
      if (row < p.rows && token + my_token + t < p.tokens) {
        let value = sum[r][t] * (scales[row] * FP8_SCALE);
        let at = (p.out_first + token + my_token + t) * p.out_stride + p.out_column + row;
        if (p.add != 0u) { out[at] += value; } else { out[at] = value; }
      }
    }
  }
}
