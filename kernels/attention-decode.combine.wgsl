// Joins the parts that attention-decode.wgsl leaves when it splits the entries of a row.
// parts: f32 [rows of this dispatch, HEADS, splits, HEAD_DIM + 2]: sum, largest score, sum of exponentials
// out: f32 [rows, HEADS, HEAD_DIM]
// dispatch: (HEADS, rows); a lane is a dimension, HEAD_DIM <= THREADS.

override HEADS: u32;
override HEAD_DIM: u32;
override THREADS: u32 = 64u;

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
// (first row, entries a split, splits)
@group(0) @binding(3) var<uniform> params: array<vec4<u32>, 2>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = params[0].x + group.y;
  let used = (rows[row * 2u].x + params[0].y - 1u) / params[0].y;
  let start = (group.y * HEADS + group.x) * params[0].z * (HEAD_DIM + 2u);
  let dimension = min(lane, HEAD_DIM - 1u);
  var largest = -3.4e38;
  for (var s = 0u; s < used; s++) {
    largest = max(largest, parts[start + s * (HEAD_DIM + 2u) + HEAD_DIM]);
  }
  var sum = 0.0;
  var total = 0.0;
  for (var s = 0u; s < used; s++) {
    let at = start + s * (HEAD_DIM + 2u);
    let factor = exp(parts[at + HEAD_DIM] - largest);
    sum += factor * parts[at + dimension];
    total += factor * parts[at + HEAD_DIM + 1u];
  }
  if (lane < HEAD_DIM) {
    out[(row * HEADS + group.x) * HEAD_DIM + lane] = sum / total;
  }
}
