/**
 * DRY, "don't repeat yourself" (p-e-w, text-generation-webui pull request 5677): where the sequence's
 * last n tokens stood before, the token that followed them then loses multiplier * base^(n - allowed).
 *
 * How long each earlier place agrees with the end, both read backwards, is the Z function of the
 * reversed window (Gusfield 1997, "Algorithms on Strings, Trees, and Sequences", section 1.4; llama.cpp
 * does the same): time linear in the window, however repetitive it is.
 */

import { limits } from "../limits.ts";
import { clampLogit } from "./penalties.ts";
import { RecentTokens } from "./recent-tokens.ts";
import type { Dry } from "./request.ts";

export class DryPenalty {
  readonly #dry: Dry;
  readonly #recent: RecentTokens;
  /** The window, newest token first, and its Z function. */
  readonly #back: Uint32Array;
  readonly #matches: Uint32Array;
  /** The longest repetition that each token would prolong. */
  readonly #longest = new Map<number, number>();

  /** @param lastTokens the window: matches neither begin nor reach outside of it */
  constructor(dry: Dry, lastTokens: number, prompt: readonly number[]) {
    this.#dry = dry;
    this.#recent = new RecentTokens(lastTokens);
    this.#back = new Uint32Array(lastTokens);
    this.#matches = new Uint32Array(lastTokens);
    for (const token of prompt.slice(Math.max(0, prompt.length - lastTokens))) {
      this.#recent.push(token);
    }
  }

  /** A token was generated. */
  accept(token: number): void {
    this.#recent.push(token);
  }

  /** @param logits [vocabulary], changed in place */
  apply(logits: Float32Array): void {
    const { multiplier, base, allowedLength } = this.#dry;
    for (const [token, length] of this.prolonged()) {
      const x = logits[token] as number;
      if (x === -Infinity) continue;
      const penalty = multiplier * base ** (length - allowedLength);
      logits[token] = clampLogit(x - Math.min(penalty, limits.dryPenalty));
    }
  }

  /** Tokens that would prolong a repetition of the allowed length or more, with that length; valid
   * until the next call. */
  prolonged(): ReadonlyMap<number, number> {
    const { allowedLength, breakers, multiplier } = this.#dry;
    const longest = this.#longest;
    longest.clear();
    if (multiplier === 0) return longest;
    const length = this.#recent.readBackwards(this.#back);
    let reach = 0;
    while (reach < length && !breakers.has(this.#back[reach] as number)) reach++;
    // Without an unbroken end there is nothing to match.
    if (reach < Math.max(1, allowedLength)) return longest;

    zFunction(this.#back, length, this.#matches);
    for (let i = 1; i < length; i++) {
      const match = Math.min(this.#matches[i] as number, reach);
      if (match < Math.max(1, allowedLength)) continue;
      const next = this.#back[i - 1] as number;
      if (match > (longest.get(next) ?? 0) && !breakers.has(next)) longest.set(next, match);
    }
    return longest;
  }
}

/** z[i]: how many tokens from i on equal those from 0 on. z[0] is left alone. */
function zFunction(tokens: Uint32Array, length: number, z: Uint32Array): void {
  let left = 0;
  let right = 0;
  for (let i = 1; i < length; i++) {
    let n = i < right ? Math.min(right - i, z[i - left] as number) : 0;
    while (i + n < length && tokens[n] === tokens[i + n]) n++;
    z[i] = n;
    if (i + n > right) {
      left = i;
      right = i + n;
    }
  }
}
