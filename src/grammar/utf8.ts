/**
 * Tokens that go on a text as UTF-8. The library takes any bytes of the right number for a character, and
 * vocabularies have tokens of single bytes: what is no character would be replaced by several when the
 * text is decoded, and a string be longer than its grammar has counted.
 */

import type { PackedVocabulary } from "./vocabulary.ts";

/** First and last byte, and the state after it. */
type Step = readonly [from: number, to: number, state: number];

const START = 0;
/** By state: which byte may come (RFC 3629, section 4). */
const STEPS: readonly (readonly Step[])[] = [
  [
    [0x00, 0x7f, START],
    [0xc2, 0xdf, 1],
    [0xe0, 0xe0, 4],
    [0xe1, 0xec, 2],
    [0xed, 0xed, 5],
    [0xee, 0xef, 2],
    [0xf0, 0xf0, 6],
    [0xf1, 0xf3, 3],
    [0xf4, 0xf4, 7],
  ],
  // One, two and three bytes are still to come.
  [[0x80, 0xbf, START]],
  [[0x80, 0xbf, 1]],
  [[0x80, 0xbf, 2]],
  // After E0, ED, F0 and F4: neither longer than needed, nor a surrogate, nor beyond U+10FFFF.
  [[0xa0, 0xbf, 1]],
  [[0x80, 0x9f, 1]],
  [[0x90, 0xbf, 2]],
  [[0x80, 0x8f, 2]],
];

/** What all texts of a vocabulary have together. */
export class Utf8Tokens {
  readonly #vocabulary: PackedVocabulary;
  /** By state: a bit for each token that may come. */
  readonly #masks: (Int32Array | undefined)[] = STEPS.map(() => undefined);

  constructor(vocabulary: PackedVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** The state after a token; undefined where the token may not come. Those without bytes always may. */
  after(state: number, token: number): number | undefined {
    const { bytes, offsets } = this.#vocabulary;
    let now: number | undefined = state;
    for (let at = offsets[token] ?? 0; at < (offsets[token + 1] ?? 0) && now !== undefined; at++) {
      const byte = bytes[at] ?? 0;
      now = STEPS[now]?.find(([from, to]) => byte >= from && byte <= to)?.[2];
    }
    return now;
  }

  mask(state: number): Int32Array {
    return this.#masks[state] ??= this.#computed(state);
  }

  #computed(state: number): Int32Array {
    const { offsets, size } = this.#vocabulary;
    const mask = new Int32Array(Math.ceil(size / 32));
    for (let token = 0; token < offsets.length - 1; token++) {
      if (this.after(state, token) === undefined) continue;
      mask[token >>> 5] = (mask[token >>> 5] ?? 0) | (1 << (token & 31));
    }
    return mask;
  }
}

/** The text of one output. */
export class Utf8Text {
  readonly #tokens: Utf8Tokens;
  #state = START;

  constructor(tokens: Utf8Tokens) {
    this.#tokens = tokens;
  }

  /** Returns whether the token may come. */
  accept(token: number): boolean {
    const state = this.#tokens.after(this.#state, token);
    this.#state = state ?? START;
    return state !== undefined;
  }

  /** Takes out of a mask what may not come. */
  restrict(mask: Int32Array): void {
    const may = this.#tokens.mask(this.#state);
    for (let i = 0; i < mask.length; i++) mask[i] = (mask[i] ?? 0) & (may[i] ?? 0);
  }
}
