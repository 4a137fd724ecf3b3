// out[r, c] = table[token(r), c] for the tokens in this part of the table; other rows are left alone.
// table: bf16 [part rows, WIDTH], two a word; out: f32 [rows, WIDTH]
// rows: two vec4 a row (see rows.ts); the token is the third word of the second.
// dispatch: (ceil(WIDTH / 64), rows)

override WIDTH: u32;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;
// (first token of the part, tokens in the part)
@group(0) @binding(3) var<uniform> params: vec4<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y;
  let token = rows[row * 2u + 1u].z - params.x;
  if (id.x >= WIDTH || token >= params.y) {
    return;
  }
  let element = token * WIDTH + id.x;
  let word = table[element / 2u];
  let bits = select(word << 16u, word & 0xffff0000u, (element & 1u) == 1u);
  out[row * WIDTH + id.x] = bitcast<f32>(bits);
}
