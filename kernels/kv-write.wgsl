// Stores the (un-rotated) keys and the values of each row in the page row that it owns.
// qkv: f32 [rows, QUERIES + 2 KV_WIDTH]: QUERIES query dimensions, KV_WIDTH of keys, KV_WIDTH of values
// keys, values: f32 [pages * page tokens, KV_WIDTH]
// rows: two vec4 a row (see rows.ts); the second word of the second is the page row
// dispatch: (ceil(KV_WIDTH / 64), rows)

override QUERIES: u32;
override KV_WIDTH: u32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= KV_WIDTH) {
    return;
  }
  let source = id.y * (QUERIES + 2u * KV_WIDTH) + QUERIES + id.x;
  let target_at = rows[id.y * 2u + 1u].y * KV_WIDTH + id.x;
  keys[target_at] = qkv[source];
  values[target_at] = qkv[source + KV_WIDTH];
}
