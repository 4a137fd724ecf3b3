/** Number formats the slow way, independent of the code under test. */

const view = new DataView(new ArrayBuffer(8));

export function floatBits(value: number): number {
  view.setFloat32(0, value);
  return view.getUint32(0);
}

export function bitsFloat(bits: number): number {
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

/** bf16 bits of an f32: of the two neighbours the nearer, of two as near the even one. */
export function bf16Bits(bits: number): number {
  const low = bits & 0xffff;
  const high = bits >>> 16;
  const up = low > 0x8000 || (low === 0x8000 && (high & 1) === 1);
  return (high + (up ? 1 : 0)) & 0xffff;
}

/** Value of an E4M3FN code by its definition. */
export function e4m3Value(code: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  const value = exponent === 0 ? mantissa / 512 : (8 + mantissa) * 2 ** (exponent - 10);
  return sign * value;
}

/** The code nearest to a value, by looking at all of them; of two as near, the even one. */
export function nearestCode(value: number): number {
  const magnitude = Math.abs(value);
  let best = 0;
  let distance = Infinity;
  for (let code = 0; code < 0x7f; code++) {
    const d = Math.abs(e4m3Value(code) - magnitude);
    if (d < distance || (d === distance && code % 2 === 0)) {
      best = code;
      distance = d;
    }
  }
  return best | (value < 0 || Object.is(value, -0) ? 0x80 : 0);
}

/** Seeded 32-bit numbers (xorshift32, Marsaglia 2003). */
export function xorshift(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
}
