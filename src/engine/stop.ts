/** Finds stop strings in a stream of text pieces, also where they cross pieces. */

export interface Matched {
  /** Text that can be shown: no stop string begins in it. */
  readonly text: string;
  /** The stop string that was met: it and what followed are dropped. */
  readonly stop: string | undefined;
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
    const stop = this.#firstComplete(text);
    if (stop) {
      this.#held = "";
      return { text: text.slice(0, stop.start), stop: text.slice(stop.start, stop.end) };
    }
    const keep = this.#longestBeginning(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stop: undefined };
  }

  /** What was held back, once no more text will come. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /**
   * Where the stop string lies that is complete first, the longer of two that are complete
   * together. What counts is where they end: so it makes no difference how the text
   * was cut into pieces.
   */
  #firstComplete(text: string): { readonly start: number; readonly end: number } | undefined {
    let first: { start: number; end: number } | undefined;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      const end = at + stop.length;
      if (at < 0 || (first && end > first.end)) continue;
      first = { start: end === first?.end ? Math.min(first.start, at) : at, end };
    }
    return first;
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
