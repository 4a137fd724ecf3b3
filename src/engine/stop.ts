/** Finds stop strings in a stream of text pieces, also where they cross pieces. */

export interface Matched {
  /** Text that can be shown: no stop string begins in it. */
  readonly text: string;
  /** A stop string was met; it and what followed are dropped. */
  readonly stopped: boolean;
}

export class StopMatcher {
  readonly #stops: readonly string[];
  /** Text that may be the beginning of a stop string; shorter than the longest of them. */
  #held = "";

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(piece: string): Matched {
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#held = "";
      return { text: text.slice(0, Math.min(...found)), stopped: true };
    }
    const keep = this.#longestBeginning(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** What was held back, once no more text will come. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) longest = n;
      }
    }
    return longest;
  }
}
