/** Notices that an output goes round in circles. */

import { limits } from "../limits.ts";

/**
 * For each period the number of tokens, up to the last, that equal the one a period before: the last
 * L tokens have period p exactly when the last L - p of them do. One comparison a period and token, so
 * the same small cost for every token and no word of the past beyond the longest period.
 */
export class LoopDetector {
  readonly #ring = new Uint32Array(limits.loopPeriod);
  /** By period; period 0 is not used. */
  readonly #agreeing = new Uint16Array(limits.loopPeriod + 1);
  #seen = 0;

  /** Whether, with this token, the last `limits.loopTokens` have a period of `limits.loopPeriod` or less. */
  push(token: number): boolean {
    const ring = this.#ring;
    const agreeing = this.#agreeing;
    const periods = Math.min(this.#seen, ring.length);
    const at = this.#seen % ring.length;
    let looping = false;
    for (let period = 1; period <= periods; period++) {
      const before = at - period;
      if (ring[before < 0 ? before + ring.length : before] !== token) {
        agreeing[period] = 0;
        continue;
      }
      const most = limits.loopTokens - period;
      const count = Math.min((agreeing[period] as number) + 1, most);
      agreeing[period] = count;
      if (count === most) looping = true;
    }
    ring[at] = token;
    this.#seen++;
    return looping;
  }
}
