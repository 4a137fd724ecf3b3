/** The KV pages of all sequences: who holds how many, and which are free. */

import { assert } from "../assert.ts";

export class PagePool {
  readonly total: number;
  readonly #free: number[];

  constructor(total: number) {
    this.total = total;
    this.#free = Array.from({ length: total }, (_, page) => total - 1 - page);
  }

  get free(): number {
    return this.#free.length;
  }

  /** A page for the caller to hold, or undefined when all are held. */
  take(): number | undefined {
    return this.#free.pop();
  }

  giveBack(pages: readonly number[]): void {
    this.#free.push(...pages);
    assert(this.#free.length <= this.total, "a KV page was given back twice");
  }
}
