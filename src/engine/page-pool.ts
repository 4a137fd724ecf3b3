/**
 * The KV pages of all sequences: how many hold each, which are free, and which nobody holds though
 * their content can still be found by the prefix cache.
 */

import { assert } from "../assert.ts";

export class PagePool {
  readonly total: number;
  /** Holders of each page. */
  readonly #holders: Uint32Array;
  readonly #free: number[];
  /** Pages without a holder whose content is remembered; the one left longest ago comes first. */
  readonly #remembered = new Set<number>();
  readonly #isRemembered: (page: number) => boolean;
  readonly #forget: (page: number) => void;
  #held = 0;

  /**
   * @param cache what remembers the content of pages: whether it does, and to make it forget
   */
  constructor(
    total: number,
    cache: { has(page: number): boolean; forget(page: number): void } = {
      has: () => false,
      forget: () => {},
    },
  ) {
    this.total = total;
    this.#holders = new Uint32Array(total);
    this.#free = Array.from({ length: total }, (_, page) => total - 1 - page);
    this.#isRemembered = (page) => cache.has(page);
    this.#forget = (page) => cache.forget(page);
  }

  /** Pages that can be taken: those that are free, and those that only the cache remembers. */
  get available(): number {
    return this.#free.length + this.#remembered.size;
  }

  /** Pages with a holder. */
  get held(): number {
    return this.#held;
  }

  get cached(): number {
    return this.#remembered.size;
  }

  /** An empty page for the caller to hold, or undefined when all are held. */
  take(): number | undefined {
    let page = this.#free.pop();
    if (page === undefined) {
      page = this.#remembered.values().next().value;
      if (page === undefined) return undefined;
      this.#remembered.delete(page);
      this.#forget(page);
    }
    this.#holders[page] = 1;
    this.#held += 1;
    return page;
  }

  /** One more holder for a page that is held or remembered. */
  share(page: number): void {
    const holders = this.#holders[page] ?? 0;
    if (holders === 0) {
      assert(this.#remembered.delete(page), "a KV page was shared that nobody holds or remembers");
      this.#held += 1;
    }
    this.#holders[page] = holders + 1;
  }

  /**
   * One holder less for each page. The last of them is the first to be taken again: a page is only of
   * use to whoever finds those before it.
   */
  giveBack(pages: readonly number[]): void {
    for (const page of pages.toReversed()) {
      const holders = this.#holders[page] ?? 0;
      assert(holders > 0, "a KV page was given back twice");
      this.#holders[page] = holders - 1;
      if (holders > 1) continue;
      this.#held -= 1;
      if (this.#isRemembered(page)) this.#remembered.add(page);
      else this.#free.push(page);
    }
  }

  /** Every page is in exactly one place. */
  assertWhole(): void {
    const accounted = this.#free.length + this.#remembered.size + this.#held;
    assert(accounted === this.total, `${accounted} of ${this.total} KV pages are accounted for`);
  }
}
