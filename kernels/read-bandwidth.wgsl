// sums[i] = xor of x[i s], x[(i + n) s], x[(i + 2 n) s], …  with s = STRIDE, n = the number of invocations
// x: u32 [COUNT s]; sums: u32 [n]. Makes the device fetch all of x and writes next to nothing: the most
// that a kernel which reads weights can reach. STRIDE is 1 where every word must be asked for, and the
// words of a cache line on a software adapter, whose caches fetch whole lines.
// dispatch: (n / 64); COUNT is any number.

override COUNT: u32;
override STRIDE: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let invocations = groups.x * 64u;
  var sum = 0u;
  for (var i = id.x; i < COUNT; i += invocations) {
    sum ^= x[i * STRIDE];
  }
  sums[id.x] = sum;
}
