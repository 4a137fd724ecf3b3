// out[i][r] = x[r] / sqrt(mean(x[r]^2) + EPS) * weight[i] for two weights: rms-norm.wgsl twice, with
// the statistics taken once. A parallel layer normalises its input for attention and for its experts.
// x, out0, out1: f32 [rows, WIDTH]; weight0, weight1: f32 [WIDTH]
// dispatch: (rows); one workgroup a row. THREADS is a square.

override WIDTH: u32;
override EPS: f32;
override THREADS: u32 = 64u;
override PARTS: u32 = 8u; // square root of THREADS

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight0: array<f32>;
@group(0) @binding(2) var<storage, read> weight1: array<f32>;
@group(0) @binding(3) var<storage, read_write> out0: array<f32>;
@group(0) @binding(4) var<storage, read_write> out1: array<f32>;

var<workgroup> sums: array<f32, THREADS>;
var<workgroup> parts: array<f32, PARTS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let start = group.x * WIDTH;
  var squares = 0.0;
  for (var c = lane; c < WIDTH; c += THREADS) {
    let value = x[start + c];
    squares += value * value;
  }
  sums[lane] = squares;
  workgroupBarrier();
  if (lane < PARTS) {
    var part = 0.0;
    for (var i = 0u; i < PARTS; i++) {
      part += sums[i * PARTS + lane];
    }
    parts[lane] = part;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < PARTS; i++) {
    total += parts[i];
  }
  let factor = 1.0 / sqrt(total / f32(WIDTH) + EPS);
  for (var c = lane; c < WIDTH; c += THREADS) {
    let value = x[start + c] * factor;
    out0[start + c] = value * weight0[c];
    out1[start + c] = value * weight1[c];
  }
}
