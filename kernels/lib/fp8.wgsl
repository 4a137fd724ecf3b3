// Decoding of OCP E4M3 codes. A code s.eeee.mmm, moved into the top of an f16 as s.0eeee.mmm0000000,
// reads as its value / 256: the exponent biases differ by 8 (15 - 7), subnormals included. Callers
// multiply a finished sum once by FP8_SCALE times the row's scale. There are no NaN codes in weights.

const FP8_SCALE: f32 = 256.0;

// Codes 0..3 of a word, code 0 being the lowest byte, each divided by 256.
fn fp8_decode(word: u32) -> vec4<f32> {
  let even = unpack2x16float(((word & 0x00800080u) << 8u) | ((word & 0x007f007fu) << 7u));
  let odd = unpack2x16float((word & 0x80008000u) | ((word & 0x7f007f00u) >> 1u));
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}
