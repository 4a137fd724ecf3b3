// Products for a software adapter, whose subgroup is a vector register of 8 lanes. It loads lane by
// lane, so loads are what a product costs: each brings four words of a row, and one load of x brings
// 8 words that every lane needs, passed on by broadcasts. Each lane has rows to itself.
const ROW_LANES = 8u;

// Asks for the cache lines of `vec4s` vec4s from `first` on before they are needed, so that many are
// on their way at once; multiplying, one row's line is waited for after the other. Returns 0, which no
// compiler knows as long as it does not know that p.zero is 0.
fn touch_rows(codes: ptr<storage, array<vec4<u32>>, read>, first: u32, vec4s: u32, lane: u32) -> f32 {
  var seen = 0u;
  for (var i = lane * 4u; i < vec4s; i += ROW_LANES * 4u) { seen ^= codes[first + i].x; }
  return f32(seen & p.zero);
}

fn two_dots(a: u32, b: u32, v: vec4<f32>) -> vec2<f32> {
  return vec2(dot(fp8_decode(a), v), dot(fp8_decode(b), v));
}

// The products of x [words vec4s from x_first on] with this lane's two rows of codes, which begin at
// the vec4s `row`; both without their scales.
fn multiply_rows(
  codes: ptr<storage, array<vec4<u32>>, read>,
  row: vec2<u32>,
  x: ptr<storage, array<vec4<f32>>, read>,
  x_first: u32,
  words: u32,
  lane: u32,
) -> vec2<f32> {
  var sum = vec2(0.0);
  for (var j = 0u; j < words; j += ROW_LANES) {
    // Behind a row's words are another row's codes, and behind x another token's values.
    let v = select(vec4(0.0), x[x_first + j + lane], j + lane < words);
    let at = row + j / 4u;
    let a0 = codes[at.x];
    let b0 = codes[at.y];
    sum += two_dots(a0.x, b0.x, subgroupBroadcast(v, 0u));
    sum += two_dots(a0.y, b0.y, subgroupBroadcast(v, 1u));
    sum += two_dots(a0.z, b0.z, subgroupBroadcast(v, 2u));
    sum += two_dots(a0.w, b0.w, subgroupBroadcast(v, 3u));
    let a1 = codes[at.x + 1u];
    let b1 = codes[at.y + 1u];
    sum += two_dots(a1.x, b1.x, subgroupBroadcast(v, 4u));
    sum += two_dots(a1.y, b1.y, subgroupBroadcast(v, 5u));
    sum += two_dots(a1.z, b1.z, subgroupBroadcast(v, 6u));
    sum += two_dots(a1.w, b1.w, subgroupBroadcast(v, 7u));
  }
  return sum;
}

// Word `at` of an expert's record, which holds its scales beside its codes.
fn record_f32(record: ptr<storage, array<vec4<u32>>, read>, at: u32) -> f32 {
  return bitcast<f32>(record[at / 4u][at % 4u]);
}
