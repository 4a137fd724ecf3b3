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
    const start = this.#firstComplete(text);
    if (start >= 0) {
      this.#held = "";
      return { text: text.slice(0, start), stopped: true };
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

  /**
   * Where the stop string begins that is complete first, the longer of two that are complete
   * together; -1 without one. What counts is where they end: so it makes no difference how the text
   * was cut into pieces.
   */
  #firstComplete(text: string): number {
    let start = -1;
    let end = Infinity;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || at + stop.length > end) continue;
      start = at + stop.length === end ? Math.min(start, at) : at;
      end = at + stop.length;
    }
    return start;
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
