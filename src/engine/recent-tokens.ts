/** The last tokens of a sequence, in a ring: an endless sequence takes no more room than a short one. */

export class RecentTokens {
  readonly #ring: Uint32Array;
  #seen = 0;

  constructor(capacity: number) {
    this.#ring = new Uint32Array(capacity);
  }

  get length(): number {
    return Math.min(this.#seen, this.#ring.length);
  }

  /** Adds a token; gives back the one that had to leave for it. */
  push(token: number): number | undefined {
    if (this.#ring.length === 0) return token;
    const at = this.#seen % this.#ring.length;
    const left = this.#seen < this.#ring.length ? undefined : this.#ring[at];
    this.#ring[at] = token;
    this.#seen++;
    return left;
  }

  /** Writes the tokens into `out`, the newest first. Returns how many they are. */
  readBackwards(out: Uint32Array): number {
    const { length } = this;
    let at = this.#seen % Math.max(1, this.#ring.length);
    for (let i = 0; i < length; i++) {
      if (at === 0) at = this.#ring.length;
      out[i] = this.#ring[--at] as number;
    }
    return length;
  }
}
