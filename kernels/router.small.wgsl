// router.wgsl and router.select.wgsl in one, for few experts on adapters with subgroups of 8, which are
// software: of all kernels that route, the quickest to compile (see matmul-fp8.small.wgsl).
//
// Experts are the K largest of router[e] . x[r] (ties: the lower id), weights softmax over all, divided
// by the sum of the chosen when K > 1, which leaves a softmax over the chosen.
// x: f32 [rows, width]; router: f32 [experts, width]
// routing: [rows, K] ids, then [rows, K] weights as f32 bits
// dispatch: (rows); one workgroup a row.

const EXPERTS = 256u; // at most

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> router: array<f32>;
@group(0) @binding(2) var<storage, read_write> routing: array<u32>;
// (rows, K, width, experts)
@group(0) @binding(3) var<uniform> params: vec4<u32>;

var<workgroup> logits: array<f32, EXPERTS>;

// Orders as the values do; -0 is 0 and NaN is -inf. In integers, because WGSL lets a compiler assume
// that no float is NaN.
fn rank(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0x00800000u;
  }
  return select(0x80000000u + magnitude, 0x80000000u - magnitude, (bits >> 31u) == 1u);
}

fn larger(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let k = params.y;
  let width = params.z;
  let experts = params.w;
  for (var e = lane; e < experts; e += 8u) {
    var logit = 0.0;
    for (var c = 0u; c < width; c++) {
      logit += router[e * width + c] * x[group.x * width + c];
    }
    logits[e] = logit;
  }
  workgroupBarrier();

  // One lane chooses. Of the pairs (rank, ~id) the larger wins, so of equal ranks the lower id.
  if (lane > 0u) {
    return;
  }
  var last = vec2(0xffffffffu);
  var top = 0.0;
  var sum = 0.0;
  for (var i = 0u; i < k; i++) {
    var best = vec2(0u);
    var logit = 0.0;
    for (var e = 0u; e < experts; e++) {
      let value = logits[e];
      let candidate = vec2(rank(bitcast<u32>(value)), ~e);
      if (larger(last, candidate) && larger(candidate, best)) {
        best = candidate;
        logit = value;
      }
    }
    last = best;
    if (i == 0u) {
      top = logit;
    }
    let weight = exp(logit - top);
    sum += weight;
    routing[group.x * k + i] = ~best.y;
    routing[(params.x + group.x) * k + i] = bitcast<u32>(weight);
  }
  if (k == 1u) {
    sum = 0.0;
    for (var e = 0u; e < experts; e++) {
      sum += exp(logits[e] - top);
    }
  }
  for (var i = 0u; i < k; i++) {
    let at = (params.x + group.x) * k + i;
    routing[at] = bitcast<u32>(bitcast<f32>(routing[at]) / sum);
  }
}
