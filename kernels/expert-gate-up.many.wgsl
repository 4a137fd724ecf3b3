// use: fp8

// h[i] = silu(gate x[rows[i]]) * (up x[rows[i]]) for the rows that chose an expert.
//
// An expert is a record of words: the codes of gate and up [2 width, stride words], the codes of
// down, the f32 scales of gate and up from word `scales` on, the scales of down.
//
//   routes  [pairs, 2]  row of x (and, for expert-down, the f32 weight), grouped by expert
//   x       [tokens, x_stride vec4s]
//   h       [pairs, h_stride]
//
// One expert, whose pairs are first.., two at a time: a decoded word serves both and a word of x
// that is loaded serves 8 rows, 4 of gate and 4 of up.
// Dispatch: ceil(width / 4) workgroups folded into y, by ceil(count / 2) in z.

override LANES: u32 = 64u;
const ROWS = 4u;
const TOKENS = 2u;
const SUMS = 2u * ROWS * TOKENS;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  scales: u32,
  x_stride: u32,
  h_stride: u32,
  first: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> record: array<u32>;
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> h: array<f32>;

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
  let begin = (group.y * groups.x + group.x) * ROWS;
  let pair = group.z * TOKENS;
  if (begin >= p.width || pair >= p.count) { return; }

  // Rows and pairs past the end read the last one again; their sums are not stored.
  let up = p.width * p.stride;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(begin + r, p.width - 1u) * p.stride; }
  var x_start: array<u32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) {
    x_start[t] = routes[p.first + min(pair + t, p.count - 1u)].x * p.x_stride;
  }

  var gate_sum: array<array<f32, TOKENS>, ROWS>;
  var up_sum: array<array<f32, TOKENS>, ROWS>;
  for (var j = lane; j < p.words; j += LANES) {
    var v: array<vec4<f32>, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { v[t] = x[x_start[t] + j]; }
    for (var r = 0u; r < ROWS; r++) {
      let g = fp8_decode(record[start[r] + j]);
      let u = fp8_decode(record[start[r] + up + j]);
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
    let row = begin + s % ROWS;
    let to = pair + s / ROWS;
    if (row < p.width && to < p.count) {
      let g = total(s) * (bitcast<f32>(record[p.scales + row]) * FP8_SCALE);
      let u = total(SUMS / 2u + s) * (bitcast<f32>(record[p.scales + p.width + row]) * FP8_SCALE);
      h[(p.first + to) * p.h_stride + row] = silu(g) * u;
    }
  }
}
