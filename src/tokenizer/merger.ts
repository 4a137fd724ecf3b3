/**
 * Byte-pair merging (Sennrich et al., 2016), with the agenda of SentencePiece's bpe_model.cc: among all
 * neighbouring symbols that may be joined, join the pair of the lowest rank, the leftmost first where
 * ranks are equal, until none is left. O(n log n).
 */

import { assert } from "../assert.ts";
import { MergeQueue } from "./merge-queue.ts";

const CODE_POINTS = 0x110000;
/** Positions in one run; with ranks below 2^23, a queue key stays an exact integer. */
const LEFT_RANGE = 2 ** 30;
const INITIAL_SYMBOLS = 1_024;

/** Two neighbouring code points as one number. */
function pairKey(left: number, right: number): number {
  return left * CODE_POINTS + right;
}

function charLength(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}

/** A doubly linked list over UTF-16 offsets; a symbol of length 0 has been merged away. */
class Symbols {
  readonly start: Int32Array;
  readonly length: Int32Array;
  readonly previous: Int32Array;
  readonly next: Int32Array;

  constructor(readonly capacity: number) {
    this.start = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.previous = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
  }
}

/**
 * Rank of joining text[start, middle) and text[middle, end), an integer from 0 to 2^23; undefined when
 * they may not be joined.
 */
export type PairRank = (
  text: string,
  start: number,
  middle: number,
  end: number,
) => number | undefined;

/** SentencePiece's ranks (Kudo and Richardson, 2018): any halves of a piece, best score first. */
export function ranksByScore(scores: ReadonlyMap<string, number>): PairRank {
  const order = [...new Set(scores.values())].sort((a, b) => b - a);
  const rankOf = new Map(order.map((score, rank) => [score, rank]));
  const ranks = new Map<string, number>();
  for (const [piece, score] of scores) ranks.set(piece, rankOf.get(score) as number);
  return (text, start, _, end) => ranks.get(text.slice(start, end));
}

/** tokenizer.json's ranks: the listed pairs, in the order of the list. */
export function ranksByMerges(merges: readonly (readonly [string, string])[]): PairRank {
  const ranks = new Map<string, Map<string, number>>();
  for (const [rank, [left, right]] of merges.entries()) {
    const ofLeft = ranks.get(left);
    if (ofLeft) ofLeft.set(right, rank);
    else ranks.set(left, new Map([[right, rank]]));
  }
  return (text, start, middle, end) =>
    ranks.get(text.slice(start, middle))?.get(text.slice(middle, end));
}

export class Merger {
  readonly #rank: PairRank;
  /** Every pair of characters found side by side in some piece: no merge can span any other pair. */
  readonly #pairs = new Set<number>();
  #longest = 0;
  readonly #queue = new MergeQueue();
  readonly #symbols = new Symbols(INITIAL_SYMBOLS);

  /** @param pieces all that joining may produce */
  constructor(pieces: Iterable<string>, rank: PairRank) {
    this.#rank = rank;
    for (const piece of pieces) {
      if (piece.length > this.#longest) this.#longest = piece.length;
      let previous = -1;
      for (const char of piece) {
        const codePoint = char.codePointAt(0) as number;
        if (previous >= 0) this.#pairs.add(pairKey(previous, codePoint));
        previous = codePoint;
      }
    }
  }

  /**
   * Splits well-formed `text` into symbols, in order: pieces, and single characters that are none.
   * Text is cut where no piece continues first, which changes nothing and keeps the queue short.
   */
  split(text: string, emit: (symbol: string) => void): void {
    let start = 0;
    let previous = -1;
    let characters = 0;
    for (let at = 0; at < text.length;) {
      const codePoint = text.codePointAt(at) as number;
      if (previous >= 0 && !this.#pairs.has(pairKey(previous, codePoint))) {
        this.#mergeRun(text, start, at, characters, emit);
        start = at;
        characters = 0;
      }
      characters++;
      previous = codePoint;
      at += charLength(codePoint);
    }
    if (start < text.length) this.#mergeRun(text, start, text.length, characters, emit);
  }

  #mergeRun(
    text: string,
    start: number,
    end: number,
    characters: number,
    emit: (symbol: string) => void,
  ): void {
    if (characters === 1) return emit(text.slice(start, end));
    assert(characters < LEFT_RANGE, "a text to merge is longer than any prompt");
    const symbols = characters <= INITIAL_SYMBOLS ? this.#symbols : new Symbols(characters);
    let count = 0;
    for (let at = start; at < end; count++) {
      const length = charLength(text.codePointAt(at) as number);
      symbols.start[count] = at;
      symbols.length[count] = length;
      symbols.previous[count] = count - 1;
      symbols.next[count] = count + 1 < characters ? count + 1 : -1;
      at += length;
    }
    this.#queue.clear();
    for (let i = 0; i + 1 < count; i++) this.#propose(text, symbols, i, i + 1);
    this.#drain(text, symbols);
    for (let i = 0; i >= 0; i = symbols.next[i] as number) {
      const at = symbols.start[i] as number;
      emit(text.slice(at, at + (symbols.length[i] as number)));
    }
  }

  /** Queues the pair (left, right) if it may be joined. */
  #propose(text: string, symbols: Symbols, left: number, right: number): void {
    const size = (symbols.length[left] as number) + (symbols.length[right] as number);
    if (size > this.#longest) return;
    const at = symbols.start[left] as number;
    const rank = this.#rank(text, at, symbols.start[right] as number, at + size);
    // One number orders by rank, then by position.
    if (rank !== undefined) this.#queue.push(rank * LEFT_RANGE + left, size);
  }

  #drain(text: string, symbols: Symbols): void {
    const queue = this.#queue;
    while (queue.pop()) {
      const left = queue.key % LEFT_RANGE;
      const right = symbols.next[left] as number;
      // Stale when either side has grown or gone: then the sizes no longer add up.
      const length = symbols.length[left] as number;
      if (length === 0 || right < 0) continue;
      if (length + (symbols.length[right] as number) !== queue.size) continue;
      symbols.length[left] = queue.size;
      symbols.length[right] = 0;
      const after = symbols.next[right] as number;
      symbols.next[left] = after;
      if (after >= 0) {
        symbols.previous[after] = left;
        this.#propose(text, symbols, left, after);
      }
      const before = symbols.previous[left] as number;
      if (before >= 0) this.#propose(text, symbols, before, left);
    }
  }
}
