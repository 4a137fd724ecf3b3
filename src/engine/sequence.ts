/** One request's tokens, and where their keys and values are. */

import type { SequenceView } from "../model/backend.ts";
import { assert, defined } from "../assert.ts";
import { limits } from "../limits.ts";
import type { AttentionWindow } from "./request.ts";
import type { CachedPage, PrefixCache } from "./prefix-cache.ts";

export interface SequenceOptions {
  readonly tokens: readonly number[];
  readonly cache: PrefixCache;
  /** What a token attends to. */
  readonly attention: AttentionWindow;
  /**
   * Rows of the largest batch: while a chunk of the prompt is written, the entries that its first row
   * still reads must not be overwritten, so the ring has room for both.
   */
  readonly chunkTokens: number;
  /** Positions that there can be at most; Infinity without an end. */
  readonly extent: number;
  /**
   * Whether it can give up its pages and be computed again. Where not, tokens are not kept once they
   * are stored: an endless sequence takes no more room than a short one.
   */
  readonly rewinds: boolean;
  /** Only sequences of one salt share pages. */
  readonly salt: string;
}

export class Sequence {
  /** Tokens from position `#first` on: all of them, or those not yet stored where it never rewinds. */
  #tokens: number[];
  #first = 0;
  #stored = 0;
  readonly #options: SequenceOptions;
  readonly #pages: number[] = [];
  readonly #ring: number;
  /** The last of the pages that the cache knows, and how many it knows; undefined once it stopped. */
  #known: { readonly count: number; readonly last: CachedPage | undefined } | undefined;

  constructor(options: SequenceOptions) {
    this.#options = options;
    this.#tokens = [...options.tokens];
    this.#ring = options.attention.window + Math.min(options.chunkTokens, options.tokens.length);
    this.#known = options.rewinds ? { count: 0, last: undefined } : undefined;
  }

  /** Tokens whose keys and values have been stored: the position of the first pending token. */
  get stored(): number {
    return this.#stored;
  }

  /** Tokens that have not been through the model. */
  get pending(): number {
    return this.#first + this.#tokens.length - this.#stored;
  }

  get rewinds(): boolean {
    return this.#options.rewinds;
  }

  /** Positions that there can be at most; Infinity without an end. */
  get extent(): number {
    return this.#options.extent;
  }

  /** Pages that it has. */
  get held(): number {
    return this.#pages.length;
  }

  /** Tokens that no later one attends to. */
  get evicted(): number {
    const { sinks, window } = this.#options.attention;
    return Math.max(0, this.#stored - sinks - window);
  }

  /** The next `rows` pending tokens. */
  next(rows: number): readonly number[] {
    assert(rows <= this.pending, "a batch has more rows than its sequence has tokens");
    const from = this.#stored - this.#first;
    return this.#tokens.slice(from, from + rows);
  }

  append(token: number): void {
    this.#tokens.push(token);
  }

  /** Pages that it holds once `tokens` tokens are stored. */
  #pagesAt(tokens: number): number {
    const entries = Math.min(tokens, this.#options.attention.sinks + this.#ring);
    return Math.ceil(entries / limits.pageTokens);
  }

  /** Pages that `rows` more tokens need beyond those held. */
  pagesFor(rows: number): number {
    return Math.max(0, this.#pagesAt(this.#stored + rows) - this.#pages.length);
  }

  /** Pages beyond those held with which it comes to its end, whatever happens beside it. */
  pagesToTheEnd(): number {
    return this.#pagesAt(this.#options.extent) - this.#pages.length;
  }

  /** Takes `count` more pages; the scheduler has made sure that they can be taken. */
  reserve(count: number): void {
    for (let n = count; n > 0; n--) {
      const page = this.#options.cache.pool.take();
      this.#pages.push(defined(page, "a free KV page for an admitted batch"));
    }
  }

  /** Takes over what the cache has of its beginning. Returns the tokens found. */
  adoptPrefix(): number {
    if (this.#known === undefined) return 0;
    assert(this.#pages.length === 0, "a sequence looked for its beginning after it had begun");
    const found = this.#options.cache.find(this.#tokens, this.#options.salt);
    for (const { page } of found) this.#pages.push(page);
    this.#known = { count: found.length, last: found.at(-1) };
    this.#stored = found.length * limits.pageTokens;
    return this.#stored;
  }

  /** `rows` more tokens have been through the model. */
  advance(rows: number): void {
    assert(rows <= this.pending, "a sequence advanced past its tokens");
    this.#stored += rows;
    // Dropped by the thousand: taking them from the front one by one would copy the rest each time.
    const unused = this.#stored - this.#first;
    if (!this.rewinds && unused >= Math.min(this.#tokens.length, limits.pageTokens * 256)) {
      this.#tokens = this.#tokens.slice(unused);
      this.#first = this.#stored;
    }
  }

  /** Lets others find the pages that are full, now that their content is known to be sound. */
  publish(): void {
    while (this.#known !== undefined) {
      const { count, last } = this.#known;
      const end = (count + 1) * limits.pageTokens;
      if (end > this.#stored) return;
      const tokens = this.#tokens.slice(count * limits.pageTokens, end);
      const page = defined(this.#pages[count], "the page of stored tokens");
      const entry = this.#options.cache.add(page, tokens, last, this.#options.salt);
      this.#known = entry && { count: count + 1, last: entry };
    }
  }

  view(): SequenceView {
    return {
      pages: Uint32Array.from(this.#pages),
      ...this.#options.attention,
      ring: this.#ring,
    };
  }

  /** Gives all pages back. The sequence is over. */
  release(): void {
    this.#options.cache.pool.giveBack(this.#pages);
    this.#pages.length = 0;
  }

  /** Gives all pages back, to be computed again later. */
  rewind(): void {
    assert(this.rewinds, "a sequence whose tokens are gone was to be computed again");
    this.release();
    this.#stored = 0;
    this.#known = { count: 0, last: undefined };
  }
}
