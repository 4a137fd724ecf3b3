// Rotates the query heads of qkv in place by each row's slot: dimension i of a head is paired with
// i + HEAD_DIM / 2 (RoFormer, Su et al. 2021; half-split layout).
// qkv: f32 [rows, QKV_WIDTH], queries first
// angles: (cos, sin) of slot * theta^(-2 i / HEAD_DIM), [HEAD_DIM / 2, SLOTS]
// rows: two vec4 a row (see rows.ts); the first word is slot + 1
// dispatch: (ceil(HEADS * HEAD_DIM / 2 / 64), rows)

override HEADS: u32;
override HEAD_DIM: u32;
override QKV_WIDTH: u32;
override SLOTS: u32;

@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> angles: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let half = HEAD_DIM / 2u;
  if (id.x >= HEADS * half) {
    return;
  }
  let head = id.x / half;
  let i = id.x % half;
  let slot = rows[id.y * 2u].x - 1u;
  let turn = angles[i * SLOTS + slot];
  let at = id.y * QKV_WIDTH + head * HEAD_DIM + i;
  let a = qkv[at];
  let b = qkv[at + half];
  qkv[at] = a * turn.x - b * turn.y;
  qkv[at + half] = b * turn.x + a * turn.y;
}
