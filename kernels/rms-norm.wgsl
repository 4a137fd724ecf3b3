// out[r] = x[r] / sqrt(mean(x[r]^2) + EPS) * weight  (Zhang and Sennrich 2019), statistics in f32
// x, out: f32 [rows, WIDTH]; weight: f32 [WIDTH]
// dispatch: (rows); one workgroup a row. THREADS is a square.

override WIDTH: u32;
override EPS: f32;
override THREADS: u32 = 64u;
override PARTS: u32 = 8u; // square root of THREADS

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

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
    out[start + c] = x[start + c] * factor * weight[c];
  }
}
