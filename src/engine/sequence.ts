/** One request's tokens, and where their keys and values are. */

import type { SequenceView } from "../model/backend.ts";
import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import type { AttentionWindow } from "./request.ts";
import type { PagePool } from "./page-pool.ts";

export class Sequence {
  /** Tokens that have not been through the model; those that have are not kept, so that an endless
   * sequence takes no more room than a short one. */
  #pending: number[];
  #stored = 0;
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  readonly #window: AttentionWindow;
  readonly #ring: number;

  /**
   * @param attention what a token attends to
   * @param chunkTokens rows of the largest batch: while a chunk is written, the entries that its
   *   first row still reads must not be overwritten, so the ring has room for both
   */
  constructor(
    tokens: readonly number[],
    pool: PagePool,
    attention: AttentionWindow,
    chunkTokens: number,
  ) {
    this.#pending = [...tokens];
    this.#pool = pool;
    this.#window = attention;
    this.#ring = attention.window + chunkTokens;
  }

  /** Tokens whose keys and values have been stored: the position of the first pending token. */
  get stored(): number {
    return this.#stored;
  }

  /** Tokens that have not been through the model. */
  get pending(): number {
    return this.#pending.length;
  }

  /** The next `rows` pending tokens. */
  next(rows: number): Uint32Array {
    assert(rows <= this.pending, "a batch has more rows than its sequence has tokens");
    return Uint32Array.from(this.#pending.slice(0, rows));
  }

  append(token: number): void {
    this.#pending.push(token);
  }

  /** Pages that `rows` more tokens need beyond those held. */
  pagesFor(rows: number): number {
    const { sinks } = this.#window;
    const entries = Math.min(this.#stored + rows, sinks + this.#ring);
    return Math.max(0, Math.ceil(entries / limits.pageTokens) - this.#pages.length);
  }

  /** Takes the pages for `rows` more tokens; the scheduler has made sure that they are free. */
  reserve(rows: number): void {
    for (let n = this.pagesFor(rows); n > 0; n--) {
      const page = this.#pool.take();
      assert(page !== undefined, "the scheduler admitted a batch without free KV pages");
      this.#pages.push(page);
    }
  }

  /** `rows` more tokens have been through the model. */
  advance(rows: number): void {
    assert(rows <= this.pending, "a sequence advanced past its tokens");
    this.#pending = this.#pending.slice(rows);
    this.#stored += rows;
  }

  view(): SequenceView {
    return { pages: Uint32Array.from(this.#pages), ...this.#window, ring: this.#ring };
  }

  /** Gives all pages back. The sequence is over. */
  release(): void {
    this.#pool.giveBack(this.#pages);
    this.#pages.length = 0;
  }
}
