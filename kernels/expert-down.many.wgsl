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
// One expert, whose pairs are first.., two at a time: a decoded word serves both and a word of h
// that is loaded serves 8 rows. A row chooses an expert once, so no two invocations add to one
// element. Dispatch: ceil(width / 8) workgroups folded into y, by ceil(count / 2) in z.

override LANES: u32 = 64u;
const ROWS = 8u;
const TOKENS = 2u;
const SUMS = ROWS * TOKENS;

struct Params {
  width: u32,
  words: u32,
  stride: u32,
  codes: u32,
  scales: u32,
  h_stride: u32,
  out_stride: u32,
  first: u32,
  count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> record: array<u32>;
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> h: array<vec4<f32>>;
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
  let begin = (group.y * groups.x + group.x) * ROWS;
  let pair = group.z * TOKENS;
  if (begin >= p.width || pair >= p.count) { return; }

  // Rows and pairs past the end read the last one again; their sums are not stored.
  var start: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    start[r] = p.codes + min(begin + r, p.width - 1u) * p.stride;
  }
  var h_start: array<u32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) {
    h_start[t] = (p.first + min(pair + t, p.count - 1u)) * p.h_stride;
  }

  var sum: array<array<f32, TOKENS>, ROWS>;
  for (var j = lane; j < p.words; j += LANES) {
    var v: array<vec4<f32>, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { v[t] = h[h_start[t] + j]; }
    for (var r = 0u; r < ROWS; r++) {
      let w = fp8_decode(record[start[r] + j]);
      for (var t = 0u; t < TOKENS; t++) { sum[r][t] += dot(w, v[t]); }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var t = 0u; t < TOKENS; t++) { partial[(t * ROWS + r) * LANES + lane] = sum[r][t]; }
  }
  workgroupBarrier();

  for (var s = lane; s < SUMS; s += LANES) {
    let row = begin + s % ROWS;
    let to = pair + s / ROWS;
    if (row < p.width && to < p.count) {
      let route = routes[p.first + to];
      let scale = bitcast<f32>(record[p.scales + row]) * bitcast<f32>(route.y) * FP8_SCALE;
      out[route.x * p.out_stride + row] += total(s) * scale;
    }
  }
}
