/**
 * Seeded random numbers, one generator a request, so that a seed gives the same text whatever else
 * runs beside it.
 */

/** xoshiro128** (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021). */
export class Random {
  readonly #state: Uint32Array;

  /** @param seed any safe integer */
  constructor(seed: number) {
    this.#state = splitMix32(seed, 4);
  }

  /** The next 32 random bits. */
  bits(): number {
    const s = this.#state as Uint32Array & { 0: number; 1: number; 2: number; 3: number };
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** Uniform in [0, 1), with 53 random bits. */
  uniform(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53;
  }
}

function rotateLeft(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

/** Spreads a seed over the generator's state, which must not be all zero. */
function splitMix32(seed: number, words: number): Uint32Array {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const state = new Uint32Array(words);
  let a = (low ^ Math.imul(high, 0x9e3779b1)) >>> 0;
  for (let i = 0; i < words; i++) {
    a = (a + 0x9e3779b9) >>> 0;
    let t = Math.imul(a ^ (a >>> 16), 0x21f0aaad);
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
    state[i] = t ^ (t >>> 15);
  }
  return state;
}
