// logits[r, e] = router[e] . x[r], in f32
// x: f32 [rows, WIDTH]; router: f32 [EXPERTS, WIDTH]; logits: f32 [rows, EXPERTS]
// dispatch: (ceil(EXPERTS / 4), ceil(rows / ROWS)); a workgroup takes 4 experts and ROWS rows, its lanes
// share the width. THREADS is a power of two.

override WIDTH: u32;
override EXPERTS: u32;
override ROWS: u32 = 1u; // at most 4
override THREADS: u32 = 64u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> router: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
// (rows, THREADS / 2)
@group(0) @binding(3) var<uniform> params: vec4<u32>;

var<workgroup> sums: array<vec4<f32>, THREADS * ROWS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Past the last expert or row, the last one is computed again and not stored.
  let expert = min(vec4(group.x * 4u) + vec4(0u, 1u, 2u, 3u), vec4(EXPERTS - 1u)) * WIDTH;
  let row = min(vec4(group.y * ROWS) + vec4(0u, 1u, 2u, 3u), vec4(params.x - 1u)) * WIDTH;
  var acc: array<vec4<f32>, 4>;
  for (var c = lane; c < WIDTH; c += THREADS) {
    let w = vec4(
      router[expert.x + c],
      router[expert.y + c],
      router[expert.z + c],
      router[expert.w + c],
    );
    for (var r = 0u; r < ROWS; r++) {
      acc[r] += w * x[row[r] + c];
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    sums[r * THREADS + lane] = acc[r];
  }
  for (var step = params.y; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      for (var r = 0u; r < ROWS; r++) {
        sums[r * THREADS + lane] += sums[r * THREADS + lane + step];
      }
    }
  }
  workgroupBarrier();
  for (var i = lane; i < 4u * ROWS; i += THREADS) {
    let r = group.y * ROWS + i / 4u;
    let e = group.x * 4u + i % 4u;
    if (r < params.x && e < EXPERTS) {
      logits[r * EXPERTS + e] = sums[(i / 4u) * THREADS][i % 4u];
    }
  }
}
