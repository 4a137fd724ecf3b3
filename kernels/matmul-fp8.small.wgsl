// use: fp8

// Every product of a small model: out[o, r] = sum over c of w[r, c] x[i, c], plain, added, or
// silu(gate) * up, of tokens in order or of those that chose an expert.
//
// A software adapter compiles each place that loads or stores for milliseconds, so that the kernels
// for large matrices, with their many registers, take longer to compile than a small model takes to
// answer. This one has few such places, and serves all products with one pipeline.
//
//   record  words: from `codes` on rows of `stride` words, four E4M3 codes each; from `scales` on the
//           rows' f32 scales. A gated product has gate's rows, then from row `pair` on up's.
//   routes  [pairs, 2]  row of x or of out, f32 weight; grouped by expert
//   x       [tokens, x_stride vec4s], padded with anything finite
//   out     [tokens, out_stride]
//
// A lane has four rows to itself: 8 and `pair` apart. Dispatch: ceil(rows / 32) workgroups, of a gated
// product ceil(rows / 16), folded into y, by tokens in z.

struct Params {
  rows: u32, // of the output
  words: u32,
  stride: u32,
  codes: u32,
  scales: u32,
  pair: u32, // 16, or the rows of gate
  gated: u32,
  add: u32,
  x_stride: u32,
  x_first: u32,
  out_stride: u32,
  out_column: u32,
  out_first: u32,
  route_first: u32,
  routed: u32, // 1: rows of x are from routes; 2: rows of out, with their weights
  four: u32, // a bound of loops that compilers leave rolled up
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> record: array<u32>;
@group(0) @binding(2) var<storage, read> routes: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let outputs = select(32u, 16u, p.gated != 0u);
  let first = (group.y * groups.x + group.x) * outputs + lane;
  if (first - lane >= p.rows) { return; }

  var from_row = p.x_first + group.z;
  var to_row = p.out_first + group.z;
  var factor = FP8_SCALE;
  if (p.routed != 0u) {
    let at = (p.route_first + group.z) * 2u;
    let route = routes[at];
    if (p.routed == 1u) {
      from_row = route;
    } else {
      to_row = route;
      factor *= bitcast<f32>(routes[at + 1u]);
    }
  }

  // Rows past the end read the last one again; their sums are not stored.
  let near = min(vec2(first, first + 8u), vec2(p.rows - 1u));
  let last = p.rows - 1u + select(0u, p.pair, p.gated != 0u);
  let rows = vec4(near, min(vec2(first, first + 8u) + p.pair, vec2(last)));
  let start = p.codes + rows * p.stride;
  let x_start = from_row * p.x_stride;
  var sum = vec4(0.0);
  for (var j = 0u; j < p.words; j++) {
    let v = x[x_start + j];
    sum += vec4(
      dot(fp8_decode(record[start.x + j]), v),
      dot(fp8_decode(record[start.y + j]), v),
      dot(fp8_decode(record[start.z + j]), v),
      dot(fp8_decode(record[start.w + j]), v),
    );
  }

  var scale = vec4(0.0);
  for (var c = 0u; c < p.four; c++) {
    scale[c] = bitcast<f32>(record[p.scales + rows[c]]);
  }
  sum *= scale * factor;
  if (p.gated != 0u) { sum = vec4(sum.xy / (1.0 + exp(-sum.xy)) * sum.zw, 0.0, 0.0); }
  for (var c = 0u; c < outputs / 8u; c++) {
    let row = first + c * 8u;
    if (row < p.rows) {
      let at = to_row * p.out_stride + p.out_column + row;
      var value = sum[c];
      if (p.add != 0u) { value += out[at]; }
      out[at] = value;
    }
  }
}
