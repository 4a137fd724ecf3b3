/**
 * How much of a waiting prompt goes into a step in which others generate: as much as lets the step
 * take no more than `limits.stepStretch` times what it takes without, by the times of earlier steps.
 * On a device where rows are nearly free that is a whole chunk, on a slow one a few rows.
 */

import { limits } from "../limits.ts";

/** Weight of the newest observation in a moving average. */
const NEWEST = 0.2;

export class StepPace {
  readonly #chunkTokens: number;
  /** Milliseconds of a step of n rows that all generate, by n. */
  readonly #decode = new Map<number, number>();
  /** Milliseconds that one row of a prompt adds to a step. */
  #row: number | undefined;

  constructor(chunkTokens: number) {
    this.#chunkTokens = chunkTokens;
  }

  /** Rows of prompts that a step with `decoding` generating sequences has room for. */
  promptRows(decoding: number): number {
    if (decoding === 0) return this.#chunkTokens;
    const alone = this.#decodeMs(decoding);
    if (alone === undefined || this.#row === undefined) return limits.firstPromptRows;
    if (this.#row === 0) return this.#chunkTokens;
    const rows = Math.floor((limits.stepStretch - 1) * alone / this.#row);
    return Math.min(this.#chunkTokens, Math.max(limits.leastPromptRows, rows));
  }

  /** A step of `decoding` generating rows and `prompt` rows of prompts has taken `ms`. */
  observe(decoding: number, prompt: number, ms: number): void {
    if (prompt === 0) {
      this.#decode.set(decoding, average(this.#decode.get(decoding), ms));
      return;
    }
    // Without a baseline the whole step counts: an estimate that is corrected once there is one.
    const alone = decoding === 0 ? 0 : this.#decodeMs(decoding) ?? 0;
    this.#row = average(this.#row, Math.max(0, ms - alone) / prompt);
  }

  /** Of the nearest number of rows that has been seen, in proportion where that one was larger. */
  #decodeMs(decoding: number): number | undefined {
    let nearest: number | undefined;
    for (const rows of this.#decode.keys()) {
      if (nearest === undefined || Math.abs(rows - decoding) < Math.abs(nearest - decoding)) {
        nearest = rows;
      }
    }
    if (nearest === undefined) return undefined;
    const ms = this.#decode.get(nearest) ?? 0;
    return nearest > decoding ? ms * decoding / nearest : ms;
  }
}

function average(before: number | undefined, now: number): number {
  return before === undefined ? now : before + NEWEST * (now - before);
}
