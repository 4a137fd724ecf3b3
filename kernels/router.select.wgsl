// The K largest logits of each row (ties: the lower id) and their weights: softmax over all experts,
// divided by the sum of the chosen when K > 1, which leaves a softmax over the chosen.
// logits: f32 [rows, EXPERTS]; routing: [rows, K] ids, then [rows, K] weights as f32 bits
// dispatch: (rows); one workgroup a row. THREADS is a power of two.

override EXPERTS: u32;
override THREADS: u32 = 64u;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> routing: array<u32>;
// (rows, K, THREADS / 2): bounds of loops are here so that compilers leave them rolled up. K is at most
// 8 and at most EXPERTS.
@group(0) @binding(2) var<uniform> params: vec4<u32>;

// (rank, ~id) of a lane's best candidate: the larger pair wins, so of equal ranks the lower id.
var<workgroup> best: array<vec2<u32>, THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> chosen: array<u32, 8>;

fn larger(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}

// Orders as the values do; -0 is 0 and NaN is -inf. In integers, because WGSL lets a compiler assume
// that no float is NaN.
fn rank(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0x00800000u;
  }
  return select(0x80000000u + magnitude, 0x80000000u - magnitude, (bits >> 31u) == 1u);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let k = params.y;
  let start = group.x * EXPERTS;
  var last = vec2(0xffffffffu);
  for (var i = 0u; i < k; i++) {
    var mine = vec2(0u);
    for (var e = lane; e < EXPERTS; e += THREADS) {
      let candidate = vec2(rank(bitcast<u32>(logits[start + e])), ~e);
      if (larger(last, candidate) && larger(candidate, mine)) {
        mine = candidate;
      }
    }
    best[lane] = mine;
    for (var step = params.z; step > 0u; step /= 2u) {
      workgroupBarrier();
      if (lane < step && larger(best[lane + step], best[lane])) {
        best[lane] = best[lane + step];
      }
    }
    workgroupBarrier();
    last = best[0];
    if (lane == 0u) {
      chosen[i] = ~last.y;
    }
    workgroupBarrier();
  }

  let top = logits[start + chosen[0]];
  var sum = 0.0;
  if (k > 1u) {
    for (var i = 0u; i < k; i++) {
      sum += exp(logits[start + chosen[i]] - top);
    }
  } else {
    for (var e = lane; e < EXPERTS; e += THREADS) {
      sum += exp(logits[start + e] - top);
    }
    sums[lane] = sum;
    for (var step = params.z; step > 0u; step /= 2u) {
      workgroupBarrier();
      if (lane < step) {
        sums[lane] += sums[lane + step];
      }
    }
    workgroupBarrier();
    sum = sums[0];
  }
  for (var i = lane; i < k; i += THREADS) {
    let at = group.x * k + i;
    routing[at] = chosen[i];
    routing[params.x * k + at] = bitcast<u32>(exp(logits[start + chosen[i]] - top) / sum);
  }
}
