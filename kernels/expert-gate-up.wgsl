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
// Two experts, chosen by z, with one pair each: a_pair and b_pair; expert-gate-up.many is for an
// expert with more. The lanes share the words of 8 rows of gate and 8 of up.
// Dispatch: ceil(width / 8) workgroups folded into y, by the number of experts in z.

override LANES: u32 = 64u;
const ROWS = 8u;
const SUMS = 2u * ROWS;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  scales: u32,
  x_stride: u32,
  h_stride: u32,
  a_pair: u32,
  b_pair: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> h: array<f32>;

// What every lane has of every sum; the lanes then finish one sum each. Subgroup sums instead would
// be as fast, but made software adapters compile for several seconds.
var<workgroup> partial: array<f32, SUMS * LANES>;

fn total(s: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += partial[s * LANES + i]; }
  return sum;
}

fn silu(g: f32) -> f32 { return g / (1.0 + exp(-g)); }

fn compute(record: ptr<storage, array<u32>, read>, first: u32, pair: u32, lane: u32) {
  // Rows past the end read the last row again; their sums are not stored.
  let up = p.width * p.stride;
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { start[r] = min(first + r, p.width - 1u) * p.stride; }

  let x_start = routes[pair].x * p.x_stride;
  var sum: array<f32, SUMS>;
  for (var j = lane; j < p.words; j += LANES) {
    let v = x[x_start + j];
    for (var r = 0u; r < ROWS; r++) {
      sum[r] += dot(fp8_decode(record[start[r] + j]), v);
      sum[ROWS + r] += dot(fp8_decode(record[start[r] + up + j]), v);
    }
  }
  for (var s = 0u; s < SUMS; s++) { partial[s * LANES + lane] = sum[s]; }
  workgroupBarrier();

  for (var r = lane; r < ROWS; r += LANES) {
    let row = first + r;
    if (row < p.width) {
      let g = total(r) * (bitcast<f32>(record[p.scales + row]) * FP8_SCALE);
      let u = total(ROWS + r) * (bitcast<f32>(record[p.scales + p.width + row]) * FP8_SCALE);
      h[pair * p.h_stride + row] = silu(g) * u;
    }
  }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.width) { return; }
  if (group.z == 0u) {
    compute(&a, first, p.a_pair, lane);
  } else {
    compute(&b, first, p.b_pair, lane);
  }
}
