enable subgroups;

// rms-norm.wgsl for adapters with subgroups of 8, which are software: one subgroup a row, no barriers.
// Such an adapter compiles it in half the time.
// x, out: f32 [rows, WIDTH]; weight: f32 [WIDTH]; dispatch: (rows)

override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
// (width): a bound that is not known leaves the loops over it rolled up.
@group(0) @binding(3) var<uniform> params: vec4<u32>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let width = params.x;
  let start = group.x * width;
  var squares = 0.0;
  for (var c = lane; c < width; c += 8u) {
    let value = x[start + c];
    squares += value * value;
  }
  let factor = 1.0 / sqrt(subgroupAdd(squares) / f32(width) + EPS);
  for (var c = lane; c < width; c += 8u) {
    out[start + c] = x[start + c] * factor * weight[c];
  }
}
