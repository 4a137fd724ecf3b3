/**
 * Penalties on what has been said. Repetition (Keskar et al. 2019, "CTRL", section 4.1) looks at prompt
 * and output, frequency and presence (the OpenAI API's) at the output alone, as in vLLM. All of them
 * see the last `lastTokens` tokens of the sequence and no others.
 */

import { RecentTokens } from "./recent-tokens.ts";
import type { Penalties } from "./request.ts";

const FLOAT32_MAX = 3.4028234663852886e38;

/** Keeps a logit that was finite so: what is merely unlikely can be drawn where nothing else can. */
export function clampLogit(x: number): number {
  return Math.max(-FLOAT32_MAX, Math.min(FLOAT32_MAX, x));
}

/** How often each token stands in the window, kept up to date token by token. */
export class TokenCounts {
  readonly #penalties: Penalties;
  readonly #recent: RecentTokens;
  readonly #inWindow = new Map<number, number>();
  readonly #inOutput = new Map<number, number>();
  /** Tokens of the window that belong to the prompt: they leave it before any of the output does. */
  #promptTokens: number;

  constructor(penalties: Penalties, prompt: readonly number[]) {
    this.#penalties = penalties;
    this.#recent = new RecentTokens(penalties.lastTokens);
    const read = prompt.slice(Math.max(0, prompt.length - penalties.lastTokens));
    for (const token of read) {
      this.#recent.push(token);
      add(this.#inWindow, token, 1);
    }
    this.#promptTokens = read.length;
  }

  /** Distinct tokens that are counted: never more than the window has. */
  get size(): number {
    return this.#inWindow.size;
  }

  /** A token was generated. */
  accept(token: number): void {
    add(this.#inWindow, token, 1);
    add(this.#inOutput, token, 1);
    const left = this.#recent.push(token);
    if (left === undefined) return;
    add(this.#inWindow, left, -1);
    if (this.#promptTokens > 0) this.#promptTokens--;
    else add(this.#inOutput, left, -1);
  }

  /**
   * Repetition first, then frequency and presence.
   * @param logits [vocabulary], changed in place
   */
  apply(logits: Float32Array): void {
    const { repetition, frequency, presence } = this.#penalties;
    if (repetition !== 1) {
      for (const token of this.#inWindow.keys()) {
        const x = logits[token] as number;
        if (x !== -Infinity) logits[token] = clampLogit(x > 0 ? x / repetition : x * repetition);
      }
    }
    if (frequency === 0 && presence === 0) return;
    for (const [token, count] of this.#inOutput) {
      const x = logits[token] as number;
      if (x !== -Infinity) logits[token] = clampLogit(x - frequency * count - presence);
    }
  }
}

function add(counts: Map<number, number>, token: number, by: 1 | -1): void {
  const count = (counts.get(token) ?? 0) + by;
  if (count === 0) counts.delete(token);
  else counts.set(token, count);
}
