/**
 * OCP E4M3FN: sign, 4 exponent bits (bias 7), 3 mantissa bits; 448 is the largest value, S.1111.111
 * is NaN, there is no infinity (OCP 8-bit Floating Point Specification, revision 1.0, section 5.1).
 */

/** Rows of E4M3 codes: weight [r, c] = e4m3(codes[r * stride + c]) * scales[r]. */
export interface Fp8Matrix {
  /** [rows, stride] */
  readonly codes: Uint8Array;
  /** [rows] */
  readonly scales: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Bytes from one row to the next, at least cols. */
  readonly stride: number;
}

function decode(code: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -9;
  return sign * (8 + mantissa) * 2 ** (exponent - 10);
}

/** The value of each of the 256 codes. Held as f64 so that no loop over weights has to widen. */
export const e4m3Values: Float64Array = Float64Array.from(
  { length: 256 },
  (_, code) => decode(code),
);
