// use: fp8

// out[rows[i]] += weights[i] * (down h[i]) for the rows that chose an expert.
//
// An expert is a record of words: the codes of gate and up, from word `codes` on the codes of down
// [width, stride words], the f32 scales of gate and up, from word `scales` on the scales of down.
//
//   routes  [pairs, 2]  row of out, f32 weight; grouped by expert
//   h       [pairs, h_stride vec4s], from expert-gate-up
//   out     [tokens, out_stride]
//
// `experts` experts, 1 or 2, with one pair each: a_pair and b_pair; expert-down.many is for an expert
// with more. The lanes share the words of 16 rows. Both experts pass through the same workgroup, and
// the same lane adds what both have for a row, because both pairs may be of one token.
// Dispatch: ceil(width / 16) workgroups folded into y.

override LANES: u32 = 64u;
const ROWS = 16u;
const SUMS = 2u * ROWS;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  codes: u32,
  scales: u32,
  h_stride: u32,
  out_stride: u32,
  experts: u32,
  a_pair: u32,
  b_pair: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// What every lane has of every sum; the lanes then finish one sum each. Subgroup sums instead would
// be as fast, but made software adapters compile for several seconds.
var<workgroup> partial: array<f32, SUMS * LANES>;

fn total(s: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < LANES; i++) { sum += partial[s * LANES + i]; }
  return sum;
}

// partial[(slot ROWS + r) LANES + lane] = what this lane has of row first + r of h[pair]'s product
fn multiply(
  record: ptr<storage, array<u32>, read>,
  first: u32,
  pair: u32,
  slot: u32,
  lane: u32,
) {
  // Rows past the end read the last row again; their sums are not stored.
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    start[r] = p.codes + min(first + r, p.width - 1u) * p.stride;
  }
  let h_start = pair * p.h_stride;
  var sum: array<f32, ROWS>;
  for (var j = lane; j < p.words; j += LANES) {
    let v = h[h_start + j];
    for (var r = 0u; r < ROWS; r++) { sum[r] += dot(fp8_decode(record[start[r] + j]), v); }
  }
  for (var r = 0u; r < ROWS; r++) { partial[(slot * ROWS + r) * LANES + lane] = sum[r]; }
}

fn add(route: vec2<u32>, row: u32, scale: u32, sum: f32) {
  let weight = bitcast<f32>(route.y) * FP8_SCALE;
  out[route.x * p.out_stride + row] += sum * (bitcast<f32>(scale) * weight);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= p.width) { return; }
  let both = p.experts == 2u;
  multiply(&a, first, p.a_pair, 0u, lane);
  if (both) { multiply(&b, first, p.b_pair, 1u, lane); }
  workgroupBarrier();

  for (var r = lane; r < ROWS; r += LANES) {
    let row = first + r;
    if (row < p.width) {
      add(routes[p.a_pair], row, a[p.scales + row], total(r));
      if (both) { add(routes[p.b_pair], row, b[p.scales + row], total(ROWS + r)); }
    }
  }
}
