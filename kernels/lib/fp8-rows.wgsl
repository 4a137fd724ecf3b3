// Products for a software adapter, whose subgroup is a vector register of 8 lanes. It loads lane by
// lane, so loads are what a product costs: each brings four words of a row, and one load of x brings
// 8 words that every lane needs, passed on by broadcasts. Each lane has rows to itself.
// The Params of a kernel that uses this end with `zero`, which is 0.
const ROW_LANES = 8u;

// Asks for the cache lines of `vec4s` vec4s from `first` on before they are needed, so that many are
// on their way at once; multiplying, one row's line is waited for after the other. Returns 0, which no
// compiler knows as long as it does not know that p.zero is 0.
fn touch_rows(codes: ptr<storage, array<vec4<u32>>, read>, first: u32, vec4s: u32, lane: u32) -> f32 {
  var seen = 0u;
  for (var i = lane * 4u; i < vec4s; i += ROW_LANES * 4u) { seen ^= codes[first + i].x; }
  return f32(seen & p.zero);
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
    for (var half = 0u; half < 2u; half++) {
      let a = codes[at.x + half];
      let b = codes[at.y + half];
      for (var k = 0u; k < 4u; k++) {
        let value = subgroupShuffle(v, 4u * half + k);
        sum += vec2(dot(fp8_decode(a[k]), value), dot(fp8_decode(b[k]), value));
      }
    }
  }
  return sum;
}

// Of this lane's two rows, the products with four tokens each.
struct FourTokens {
  a: vec4<f32>,
  b: vec4<f32>,
}

// multiply_rows for four tokens, whose x begin at the vec4s `x_first`: each word is decoded once.
fn multiply_rows_by_four(
  codes: ptr<storage, array<vec4<u32>>, read>,
  row: vec2<u32>,
  x: ptr<storage, array<vec4<f32>>, read>,
  x_first: vec4<u32>,
  words: u32,
  lane: u32,
) -> FourTokens {
  var sum: FourTokens;
  for (var j = 0u; j < words; j += ROW_LANES) {
    let inside = j + lane < words;
    var v: mat4x4<f32>;
    for (var t = 0u; t < 4u; t++) { v[t] = select(vec4(0.0), x[x_first[t] + j + lane], inside); }
    let at = row + j / 4u;
    for (var half = 0u; half < 2u; half++) {
      let a = codes[at.x + half];
      let b = codes[at.y + half];
      for (var k = 0u; k < 4u; k++) {
        let at_lane = 4u * half + k;
        let word_a = fp8_decode(a[k]);
        let word_b = fp8_decode(b[k]);
        let values = mat4x4(
          subgroupShuffle(v[0], at_lane),
          subgroupShuffle(v[1], at_lane),
          subgroupShuffle(v[2], at_lane),
          subgroupShuffle(v[3], at_lane),
        );
        sum.a += word_a * values;
        sum.b += word_b * values;
      }
    }
  }
  return sum;
}

// Word `at` of an expert's record, which holds its scales beside its codes.
fn record_f32(record: ptr<storage, array<vec4<u32>>, read>, at: u32) -> f32 {
  return bitcast<f32>(record[at / 4u][at % 4u]);
}
