// use: fp8

// out[t, r] = sum over c of w[r, c] x[t, c], or out[t, r] += … when `add`.
//
//   codes   [rows, stride words]  four E4M3 codes a word, rows padded with zero codes
//   scales  [rows]
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// A lane has 4 rows and 8 tokens, with all 32 sums to itself. What it needs of x is the
// same for all lanes: software adapters that load such a value once
// (DeviceInfo.uniformLoads) find it in workgroup memory, where x lies 64 words at a time.
// Dispatch: ceil(rows / (4 LANES)) workgroups folded into y, by ceil(tokens / 8) in z.

override LANES: u32 = 64u;
const ROWS = 4u;
const TOKENS = 8u;
const DEPTH = 64u; // even

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

var<workgroup> tile: array<array<vec4<f32>, TOKENS>, DEPTH>;

// The next DEPTH words of x of every token; zero past the end of a row.
fn stage(token: u32, step: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < DEPTH * TOKENS; i += LANES) {
    let row = p.x_first + min(token + i / DEPTH, p.tokens - 1u);
    let word = step + i % DEPTH;
    let v = x[row * p.x_stride + min(word, p.words - 1u)];
    tile[i % DEPTH][i / DEPTH] = select(vec4(0.0), v, word < p.words);
  }
  workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let begin = (group.y * groups.x + group.x) * LANES * ROWS;
  let token = group.z * TOKENS;
  if (begin >= p.rows || token >= p.tokens) { return; }

  // Rows and tokens past the end read the last one again; their sums are not stored.
  let first = begin + lane;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(first + r * LANES, p.rows - 1u) * p.stride; }

  var sum: array<array<f32, TOKENS>, ROWS>;
  for (var step = 0u; step < p.words; step += DEPTH) {
    stage(token, step, lane);
    let depth = min(DEPTH, p.words - step);
    // Two words at a time: every sum is loaded and stored half as often. Rows of an odd number of
    // words are padded.
    for (var j = 0u; j < depth; j += 2u) {
      var even: array<vec4<f32>, ROWS>;
      var odd: array<vec4<f32>, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        even[r] = fp8_decode(codes[start[r] + step + j]);
        odd[r] = fp8_decode(codes[start[r] + step + j + 1u]);
      }
      for (var t = 0u; t < TOKENS; t++) {
        let v = tile[j][t];
        let w = tile[j + 1u][t];
        for (var r = 0u; r < ROWS; r++) { sum[r][t] += dot(even[r], v) + dot(odd[r], w); }
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) {
    let row = first + r * LANES;
    if (row < p.rows) {
      let scale = scales[row] * FP8_SCALE;
      for (var t = 0u; t < TOKENS; t++) {
        if (token + t < p.tokens) {
          let value = sum[r][t] * scale;
          let at = (p.out_first + token + t) * p.out_stride + p.out_column + row;
          if (p.add != 0u) { out[at] += value; } else { out[at] = value; }
        }
      }
    }
  }
}
