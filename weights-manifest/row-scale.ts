/**
 * The scale of a row: s x 2^k with s one of 1, 9/8, … 15/8.
 *
 * Rounding to E4M3 loses a share of a number that depends on its significand alone: little just
 * below a power of two times the scale, twice as much just above. So the significand of the scale
 * decides where in the octave a row's large values fall. The squared error that each s would cause
 * follows from how the row's energy is spread over significands: one pass over the row, whatever the
 * number of candidates. A row that lies on the grid times a power of two loses nothing with s = 1,
 * which is what it gets.
 */

import { e4m3Values, encodeE4m3, scaleExponent } from "./fp8.ts";

/** Candidates for s, the first of them preferred. */
const SIGNIFICANDS = Array.from({ length: 8 }, (_, i) => 1 + i / 8);

/** Significands are told apart by the 7 bits that bf16 has of them. */
const BINS = 128;

/** ERRORS[c][m]: squared error of 1 + m / 128 rounded with a scale of significand c. */
const ERRORS = SIGNIFICANDS.map((s) =>
  Float64Array.from({ length: BINS }, (_, m) => {
    const x = 1 + m / BINS;
    return (x - s * (e4m3Values[encodeE4m3(x / s)] as number)) ** 2;
  })
);

/** Square of 2^(e - 127) for every exponent field e; nothing for subnormals, which weigh nothing. */
const ENERGY = Float64Array.from({ length: 256 }, (_, e) => e === 0 ? 0 : 4 ** (e - 127));

export class RowScale {
  /** Energy of the row's values by significand. */
  readonly #energy = new Float64Array(BINS);

  /** The scale of a row given as bf16 patterns, whose largest magnitude has the bits `top`. */
  bf16(row: Uint16Array, top: number): number {
    const energy = this.#energy.fill(0);
    for (let i = 0; i < row.length; i++) {
      const bits = row[i] as number;
      const bin = bits & 0x7f;
      energy[bin] = (energy[bin] as number) + (ENERGY[(bits >>> 7) & 0xff] as number);
    }
    return this.#best() * 2 ** scaleExponent(top << 16);
  }

  /** The same for f32 bits. */
  f32(row: Uint32Array, top: number): number {
    const energy = this.#energy.fill(0);
    for (let i = 0; i < row.length; i++) {
      const bits = row[i] as number;
      const bin = (bits >>> 16) & 0x7f;
      energy[bin] = (energy[bin] as number) + (ENERGY[(bits >>> 23) & 0xff] as number);
    }
    return this.#best() * 2 ** scaleExponent(top);
  }

  /** The significand with the least squared error. */
  #best(): number {
    let best = 1;
    let least = Infinity;
    for (const [c, errors] of ERRORS.entries()) {
      let error = 0;
      for (let m = 0; m < BINS; m++) {
        error += (this.#energy[m] as number) * (errors[m] as number);
      }
      if (error < least) {
        least = error;
        best = SIGNIFICANDS[c] as number;
      }
    }
    return best;
  }
}
