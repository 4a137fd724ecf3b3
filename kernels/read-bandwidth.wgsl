// sums[i] = xor of the words of x[i], x[i + n], x[i + 2 n], …  with n = the number of invocations
// x: array<vec4<u32>> [COUNT]; sums: u32 [n]. Reads every word of x once and writes next to nothing:
// the rate is the most that a kernel which reads weights can reach.
// dispatch: (n / 64); COUNT is any number.

override COUNT: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let invocations = groups.x * 64u;
  var sum = vec4<u32>(0u);
  for (var i = id.x; i < COUNT; i += invocations) {
    sum ^= x[i];
  }
  sums[id.x] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
