// use: fp8
enable subgroups;

// out[t, i] = silu(g) u, g = sum over c of w[i, c] x[t, c], u = sum over c of w[rows + i, c] x[t, c].
// The matrix holds gate's rows, then as many rows of up.
//
//   codes   [2 rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [2 rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// For software adapters with subgroups of 8 that load lane by lane even what is the same for all
// lanes (no DeviceInfo.uniformLoads). There a load costs more than the arithmetic it feeds: a lane
// loads x of one of 8 tokens only and broadcasts it to the others. It has 4 rows of gate and 4 of
// up, with all 64 sums to itself.
// Dispatch: ceil(rows / 32) workgroups folded into y, by ceil(tokens / 8) in z.

const LANES = 8u;
const ROWS = 8u; // half of them of gate, then as many of up
const PAIRS = ROWS / 2u;
const TOKENS = 8u;

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

var<private> sum: array<array<f32, TOKENS>, ROWS>;
var<private> w: array<vec4<f32>, ROWS>;

fn silu(g: f32) -> f32 { return g / (1.0 + exp(-g)); }

fn accumulate(token: u32, v: vec4<f32>) {
  for (var r = 0u; r < ROWS; r++) { sum[r][token] += dot(w[r], v); }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let begin = (group.y * groups.x + group.x) * LANES * PAIRS;
  let token = group.z * TOKENS;
  if (begin >= p.rows || token >= p.tokens) { return; }

  // Rows and tokens past the end read the last one again; their sums are not stored.
  let first = begin + lane;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < PAIRS; r++) {
    start[r] = min(first + r * LANES, p.rows - 1u) * p.stride;
    start[PAIRS + r] = start[r] + p.rows * p.stride;
  }
  let x_start = (p.x_first + min(token + lane, p.tokens - 1u)) * p.x_stride;

  for (var j = 0u; j < p.words; j++) {
    for (var r = 0u; r < ROWS; r++) { w[r] = fp8_decode(codes[start[r] + j]); }
    let v = x[x_start + j];
    accumulate(0u, subgroupBroadcast(v, 0u));
    accumulate(1u, subgroupBroadcast(v, 1u));
    accumulate(2u, subgroupBroadcast(v, 2u));
    accumulate(3u, subgroupBroadcast(v, 3u));
    accumulate(4u, subgroupBroadcast(v, 4u));
    accumulate(5u, subgroupBroadcast(v, 5u));
    accumulate(6u, subgroupBroadcast(v, 6u));
    accumulate(7u, subgroupBroadcast(v, 7u));
  }

  for (var r = 0u; r < PAIRS; r++) {
    let row = first + r * LANES;
    if (row < p.rows) {
      let gate_scale = scales[row] * FP8_SCALE;
      let up_scale = scales[p.rows + row] * FP8_SCALE;
      for (var t = 0u; t < TOKENS; t++) {
        if (token + t < p.tokens) {
          let value = silu(sum[r][t] * gate_scale) * (sum[PAIRS + r][t] * up_scale);
          out[(p.out_first + token + t) * p.out_stride + p.out_column + row] = value;
        }
      }
    }
  }
}
