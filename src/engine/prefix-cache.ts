/**
 * Finds the KV pages of a prompt's beginning that an earlier request has filled. Pages form chains:
 * a page is known by the hash of its tokens and of the page before it, and found only when tokens,
 * predecessor and salt are the same, so that a collision of hashes never gives foreign keys and values.
 *
 * Source: hash chains of blocks as in vLLM's automatic prefix caching (Kwon et al. 2023, section 4.4,
 * shares blocks; the chain is vLLM's design note "Automatic Prefix Caching").
 */

import { assert, defined } from "../assert.ts";
import { limits } from "../limits.ts";
import { PagePool } from "./page-pool.ts";

/** A full page whose content can be found again. */
export interface CachedPage {
  readonly page: number;
  readonly hash: number;
  readonly tokens: readonly number[];
  readonly before: CachedPage | undefined;
  readonly salt: string;
}

/** A 32-bit hash of a page: of its tokens, the hash of the page before it, and the salt. */
export type PageHash = (tokens: readonly number[], before: number, salt: string) => number;

export class PrefixCache {
  readonly pool: PagePool;
  readonly #byHash = new Map<number, CachedPage>();
  readonly #byPage = new Map<number, CachedPage>();
  readonly #hash: PageHash;

  constructor(pages: number, hash: PageHash = fnv1a) {
    this.#hash = hash;
    this.pool = new PagePool(pages, {
      has: (page) => this.#byPage.has(page),
      forget: (page) => this.#drop(page),
    });
  }

  /**
   * The pages that hold the beginning of `tokens`, each with the caller as a further holder. At least
   * one token is left over: its logits are wanted.
   */
  find(tokens: readonly number[], salt: string): readonly CachedPage[] {
    const found: CachedPage[] = [];
    const most = Math.floor((tokens.length - 1) / limits.pageTokens);
    for (let p = 0; p < most; p++) {
      const inPage = tokens.slice(p * limits.pageTokens, (p + 1) * limits.pageTokens);
      const entry = this.#lookUp(inPage, found.at(-1), salt);
      if (entry === undefined) break;
      found.push(entry);
    }
    for (const { page } of found) this.pool.share(page);
    return found;
  }

  /**
   * Makes a full page of a running sequence known. Returns its entry, or undefined when another page
   * of the same content is known already: what follows it is then not made known either.
   */
  add(
    page: number,
    tokens: readonly number[],
    before: CachedPage | undefined,
    salt: string,
  ): CachedPage | undefined {
    assert(tokens.length === limits.pageTokens, "a page that is not full was given to the cache");
    const hash = this.#hash(tokens, before?.hash ?? 0, salt);
    if (this.#byHash.has(hash)) return undefined;
    const entry = { page, hash, tokens, before, salt };
    this.#byHash.set(hash, entry);
    this.#byPage.set(page, entry);
    return entry;
  }

  #lookUp(
    tokens: readonly number[],
    before: CachedPage | undefined,
    salt: string,
  ): CachedPage | undefined {
    const entry = this.#byHash.get(this.#hash(tokens, before?.hash ?? 0, salt));
    const same = entry !== undefined && entry.before === before && entry.salt === salt &&
      entry.tokens.every((token, i) => token === tokens[i]);
    return same ? entry : undefined;
  }

  #drop(page: number): void {
    const entry = defined(this.#byPage.get(page), "the cached page that is taken again");
    this.#byPage.delete(page);
    this.#byHash.delete(entry.hash);
  }
}

/** FNV-1a over 32-bit words (Fowler, Noll and Vo). */
function fnv1a(tokens: readonly number[], before: number, salt: string): number {
  let hash = Math.imul(before ^ 0x811c9dc5, 0x01000193);
  for (const token of tokens) hash = Math.imul(hash ^ token, 0x01000193);
  for (let i = 0; i < salt.length; i++) hash = Math.imul(hash ^ salt.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
