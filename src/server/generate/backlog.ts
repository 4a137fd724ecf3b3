/** A stream's items as they are pulled from its generation, kept, and given to readers. */

import { errorObject, toApiError } from "../errors.ts";
import { KeptEvents } from "./kept-events.ts";
import type { NumberedItem, StreamItem } from "./stream-item.ts";

type Progress = Extract<StreamItem, { type: "progress" }>;

export interface BacklogOptions {
  /** Of the stream, for the log's sake. */
  readonly id: string;
  /** A failure is its last item. */
  readonly items: AsyncGenerator<StreamItem, void, undefined>;
  /** Called with the bytes by which the backlog grew, or shrank where they are negative. */
  readonly weigh: (bytes: number) => void;
}

export class Backlog {
  readonly #options: BacklogOptions;
  readonly #kept = new KeptEvents();
  #given = 0;
  #aheadBytes = 0;
  #isOver = false;
  #isClosed = false;
  #progress: { readonly item: Progress; readonly count: number } | undefined;
  #pulling: Promise<void> | undefined;
  #news = Promise.withResolvers<void>();

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** The numbers of the oldest event that is kept, and of the newest that there is. */
  get first(): number {
    return this.#kept.first;
  }

  get last(): number {
    return this.#kept.last;
  }

  get bytes(): number {
    return this.#kept.bytes;
  }

  /** The last event that was given to any reader, and the bytes of those after it. */
  get given(): number {
    return this.#given;
  }

  get aheadBytes(): number {
    return this.#aheadBytes;
  }

  /** Nothing comes after `last`. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The latest progress and how many there were. */
  get progress(): { readonly item: Progress; readonly count: number } | undefined {
    return this.#progress;
  }

  /** Resolves with the next item, the end, or a `tell`. */
  get news(): Promise<void> {
    return this.#news.promise;
  }

  tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    resolve();
  }

  at(number: number): NumberedItem | undefined {
    return this.#kept.at(number);
  }

  /** Events up to `number` were given to a reader. Whether any of them had been given to nobody. */
  give(number: number): boolean {
    const isNew = number > this.#given;
    while (this.#given < number) this.#aheadBytes -= this.#kept.size(++this.#given);
    return isNew;
  }

  /** Drops the oldest, but none after `upTo`, until `bytes` are left. */
  trim(bytes: number, upTo: number): void {
    const freed = this.#kept.trim(bytes, upTo);
    if (freed > 0) this.#options.weigh(-freed);
  }

  /** Resolves when there is one more item, which is asked for once however many wait for it. */
  pull(): Promise<void> {
    const { items, id } = this.#options;
    this.#pulling ??= items.next()
      .then(
        ({ value, done }) => this.#accept(done || !value ? undefined : value),
        (cause: unknown) => this.#accept(failure(cause, id)),
      )
      .finally(() => {
        this.#pulling = undefined;
        this.tell();
      });
    return this.#pulling;
  }

  /** Ends the generator: nothing more is kept. */
  close(): void {
    this.#isClosed = true;
    void this.#options.items.return();
    this.tell();
  }

  #accept(item: StreamItem | undefined): void {
    if (item?.type === "progress") {
      this.#progress = { item, count: (this.#progress?.count ?? 0) + 1 };
      return;
    }
    if (!item || item.type === "done" || item.type === "error") {
      this.#isOver = true;
      void this.#options.items.return();
    }
    if (!item || this.#isClosed) return;
    const size = this.#kept.push(item);
    this.#aheadBytes += size;
    this.#options.weigh(size);
  }
}

function failure(cause: unknown, requestId: string): StreamItem {
  return { type: "error", error: errorObject(toApiError(cause, { requestId })) };
}
