/**
 * Streams that outlive their connection. A stream keeps its last events; a client that comes back in
 * time with the number of the last one it saw gets the rest, without gap or repeat, and then what is new.
 * While nobody reads, the generation goes on until half of the kept events were given to nobody: the
 * other half are those that a lost connection may have swallowed.
 */

import { ApiError } from "../errors.ts";
import type { StreamItem } from "./stream-item.ts";
import type { Numbered, StreamSource } from "./stream-source.ts";

export interface DurableOptions {
  readonly id: string;
  readonly items: AsyncGenerator<StreamItem, void, undefined>;
  /** Ends the generation. */
  readonly cancel: () => void;
  /** Events kept. */
  readonly events: number;
  /** Milliseconds for which a stream waits for its reader. */
  readonly waitMs: number;
  /** The stream will not be asked for again. */
  readonly dropped: () => void;
}

type Progress = Extract<StreamItem, { type: "progress" }>;

export class DurableStream {
  readonly #options: DurableOptions;
  /** Events #first, #first + 1, …; those before were given and dropped. */
  readonly #kept: StreamItem[] = [];
  #first = 1;
  /** The last event that was given to any reader. */
  #given = 0;
  #isOver = false;
  /** The latest progress and how many there were, for whoever reads now. */
  #progress: { readonly item: Progress; readonly count: number } | undefined;
  #pulling: Promise<void> | undefined;
  /** The reader who may read: taken over by the next one. */
  #reader: StreamSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: DurableOptions) {
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * A reader of what comes after event `after`. Whoever read before reads no more.
   * @throws ApiError 404 where those events are no longer kept, or are none
   */
  read(after: number): StreamSource {
    if (after + 1 < this.#first || after > this.#last) {
      throw new ApiError(
        404,
        `Of this stream the events after ${this.#first - 1} to ${this.#last} can be asked for.`,
        { param: "Last-Event-ID" },
      );
    }
    clearTimeout(this.#timer);
    let position = after;
    let progress = this.#progress?.count ?? 0;
    const reader: StreamSource = {
      id: this.#options.id,
      next: async () => {
        while (this.#reader === reader) {
          if (position < this.#last) return this.#give(++position);
          if (this.#progress && this.#progress.count > progress) {
            progress = this.#progress.count;
            return { item: this.#progress.item, number: position };
          }
          if (this.#isOver) return undefined;
          await this.#pull();
        }
        return undefined;
      },
      leave: () => {
        if (this.#reader === reader) this.#leave();
      },
    };
    this.#reader = reader;
    return reader;
  }

  /** Ends the stream for good. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#reader = undefined;
    this.#options.cancel();
    void this.#options.items.return();
    this.#options.dropped();
  }

  get #last(): number {
    return this.#first + this.#kept.length - 1;
  }

  #give(number: number): Numbered | undefined {
    const item = this.#kept[number - this.#first];
    this.#given = Math.max(this.#given, number);
    this.#trim();
    return item && { item, number };
  }

  #trim(): void {
    const excess = this.#kept.length - this.#options.events;
    const droppable = Math.min(excess, this.#given - this.#first + 1);
    if (droppable <= 0) return;
    this.#kept.splice(0, droppable);
    this.#first += droppable;
  }

  #leave(): void {
    this.#reader = undefined;
    this.#timer = setTimeout(() => this.drop(), this.#options.waitMs);
    void this.#goOn();
  }

  async #goOn(): Promise<void> {
    const most = this.#options.events / 2;
    while (!this.#reader && !this.#isOver && this.#last - this.#given < most) {
      await this.#pull();
      this.#trim();
    }
  }

  /** One more item, asked for once however many wait for it. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#options.items.next()
      .then(({ value, done }) => {
        if (done || !value) this.#isOver = true;
        else if (value.type === "progress") {
          this.#progress = { item: value, count: (this.#progress?.count ?? 0) + 1 };
        } else this.#kept.push(value);
      })
      .finally(() => this.#pulling = undefined);
    return this.#pulling;
  }
}

interface Owned {
  readonly stream: DurableStream;
  readonly keyIdentity: string;
}

/** All streams that can be asked for again. */
export class DurableStreams {
  readonly #streams = new Map<string, Owned>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** The first reader of a new stream, or undefined where there are too many to keep another. */
  open(
    keyIdentity: string,
    options: Omit<DurableOptions, "dropped">,
  ): StreamSource | undefined {
    if (this.#streams.size >= this.#most) {
      const over = [...this.#streams.values()].find(({ stream }) => stream.isOver);
      if (!over) return undefined;
      over.stream.drop();
    }
    const dropped = () => void this.#streams.delete(options.id);
    const stream = new DurableStream({ ...options, dropped });
    this.#streams.set(options.id, { stream, keyIdentity });
    return stream.read(0);
  }

  /** @throws ApiError 404 for a stream that is not there, or another key's */
  resume(id: string, after: number, keyIdentity: string): StreamSource {
    const owned = this.#streams.get(id);
    if (owned?.keyIdentity === keyIdentity) return owned.stream.read(after);
    throw new ApiError(404, "There is no such stream: it has ended, or was never there.", {
      param: "Last-Event-ID",
    });
  }
}

/** The stream and the number of its event in a Last-Event-ID header; undefined for another form. */
export function parseEventId(header: string): { id: string; number: number } | undefined {
  const [, id, number] = /^([\w-]{1,128})-(\d{1,15})$/.exec(header) ?? [];
  return id === undefined ? undefined : { id, number: Number(number) };
}
