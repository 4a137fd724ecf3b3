/**
 * A stream that outlives its connection. It keeps its last events; a client that comes back in time with
 * the number of the last one it saw gets the rest, without gap or repeat, and then what is new. While
 * nobody reads, the generation goes on for a bounded number of bytes and then pauses.
 */

import { assert } from "../../assert.ts";
import { ApiError, type ErrorObject, errorObject } from "../errors.ts";
import { Backlog } from "./backlog.ts";
import type { StreamItem } from "./stream-item.ts";
import type { Numbered, StreamSource } from "./stream-source.ts";

/** Whoever keeps the stream. */
export interface Keeper {
  /** What the stream keeps grew by so many bytes, or shrank where it is negative. May drop streams. */
  weigh(bytes: number): void;
  /** Nobody reads the stream any more, or is about to; `wasRead`: somebody did. May drop it. */
  left(wasRead: boolean): void;
  /** The stream will not be asked for again. */
  dropped(): void;
}

export interface DurableOptions {
  readonly id: string;
  /** A failure is its last item. */
  readonly items: AsyncGenerator<StreamItem, void, undefined>;
  /** Ends the generation. */
  readonly cancel: () => void;
  /** Bytes kept of what was given to readers, and of what was given to nobody. */
  readonly givenBytes: number;
  readonly aheadBytes: number;
  /** Milliseconds for which a stream waits for its reader. */
  readonly waitMs: number;
}

/** Somebody who reads or is about to: only who asks for an event takes the stream from another. */
interface Reader {
  /** The last event it was given. */
  position: number;
  progress: number;
  state: "waiting" | "reading" | "ended";
  /** It was given something that nobody had been given before. */
  hasAdvanced: boolean;
}

export class DurableStream {
  readonly #options: DurableOptions;
  readonly #keeper: Keeper;
  readonly #backlog: Backlog;
  #isDropped = false;
  #isGoingOn = false;
  #reader: Reader | undefined;
  /** An answer has begun whose client is about to ask for events, or is not: nothing waits for it. */
  #isExpected = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time is up, and only who reads already may go on. */
  #isLate = false;

  constructor(options: DurableOptions, keeper: Keeper) {
    const { id, items } = options;
    this.#options = options;
    this.#keeper = keeper;
    this.#backlog = new Backlog({ id, items, weigh: (bytes) => keeper.weigh(bytes) });
    this.#arm();
  }

  get isOver(): boolean {
    return this.#backlog.isOver;
  }

  /** Somebody reads, or is about to. */
  get isRead(): boolean {
    return this.#reader !== undefined || this.#isExpected;
  }

  get bytes(): number {
    return this.#backlog.bytes;
  }

  /**
   * A reader of what comes after event `after`, once it asks for it: then whoever read before reads no
   * more. Undefined where the stream has ended with that event.
   * @throws ApiError 404 where the events after it are no longer kept, or it was never there
   */
  read(after: number): StreamSource | undefined {
    const { id } = this.#options;
    const { first, last, isOver } = this.#backlog;
    if (this.#isLate && !this.#reader?.hasAdvanced) throw noSuchStream();
    if (after + 1 < first) throw notKept(id, first - 1);
    if (after > last) throw notYet(id, after, last);
    if (isOver && after === last) return undefined;
    this.#isExpected = true;
    const reader: Reader = { position: after, progress: 0, state: "waiting", hasAdvanced: false };
    return { id, next: () => this.#next(reader), leave: () => this.#leave(reader) };
  }

  /** Ends the stream for good; who reads it is told. */
  drop(): void {
    if (this.#isDropped) return;
    this.#isDropped = true;
    clearTimeout(this.#timer);
    this.#reader = undefined;
    this.#options.cancel();
    this.#backlog.close();
    this.#keeper.dropped();
  }

  /** Keeps only half as much, except what its reader has not been given yet. */
  halve(): void {
    this.#trim(this.bytes / 2);
  }

  async #next(reader: Reader): Promise<Numbered | undefined> {
    if (reader.state === "waiting") this.#attach(reader);
    while (this.#reader === reader) {
      const { last, progress, isOver, news } = this.#backlog;
      if (reader.position < last) return this.#give(reader);
      if (progress && progress.count > reader.progress) {
        reader.progress = progress.count;
        return { item: progress.item, number: reader.position };
      }
      if (isOver) return undefined;
      void this.#backlog.pull();
      await news;
    }
    if (reader.state === "ended") return undefined;
    reader.state = "ended";
    return { item: { type: "error", error: this.#loss(reader) }, number: undefined };
  }

  /** Why a reader gets no more. */
  #loss({ position }: Reader): ErrorObject {
    if (this.#isDropped) return GONE;
    if (position + 1 >= this.#backlog.first) return TAKEN;
    return errorObject(notKept(this.#options.id, this.#backlog.first - 1));
  }

  #attach(reader: Reader): void {
    reader.state = "reading";
    this.#isExpected = false;
    // Meanwhile another one may have read on.
    if (this.#isDropped || reader.position + 1 < this.#backlog.first) return;
    const before = this.#reader;
    this.#reader = reader;
    reader.progress = this.#backlog.progress?.count ?? 0;
    this.#backlog.give(reader.position); // it says that it has seen them
    if (!this.isOver) this.#disarm();
    else if (this.#timer === undefined || before?.hasAdvanced) this.#arm();
    this.#backlog.tell();
  }

  #give(reader: Reader): Numbered {
    const number = ++reader.position;
    const item = this.#backlog.at(number);
    assert(item, "an event that is to be read was dropped");
    if (this.#backlog.give(number)) reader.hasAdvanced = true;
    this.#trim(this.#options.givenBytes + this.#backlog.aheadBytes);
    return { item, number };
  }

  #trim(bytes: number): void {
    const { given } = this.#backlog;
    this.#backlog.trim(bytes, Math.min(given, this.#reader?.position ?? given));
  }

  #leave(reader: Reader): void {
    const wasReading = this.#reader === reader;
    if (reader.state === "waiting") this.#isExpected = false;
    reader.state = "ended";
    if (wasReading) this.#reader = undefined;
    if (this.#reader || this.#isDropped) return;
    // Nobody has seen an id to come back with.
    if (this.#backlog.given === 0) return this.drop();
    // One that is over is not kept alive by being read again.
    if (wasReading && (this.#timer === undefined || reader.hasAdvanced)) this.#arm();
    else if (this.#isLate) return this.drop();
    this.#keeper.left(wasReading);
    void this.#goOn();
  }

  #arm(): void {
    this.#disarm();
    this.#isLate = false;
    this.#timer = setTimeout(() => {
      if (this.#reader) this.#isLate = true;
      else this.drop();
    }, this.#options.waitMs);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #goOn(): Promise<void> {
    if (this.#isGoingOn) return;
    this.#isGoingOn = true;
    while (
      !this.#reader && !this.#isDropped && !this.isOver &&
      this.#backlog.aheadBytes < this.#options.aheadBytes
    ) await this.#backlog.pull();
    this.#isGoingOn = false;
  }
}

const TAKEN = errorObject(
  new ApiError(409, "This stream was taken up by another request, which gets the rest of it."),
);
const GONE = errorObject(
  new ApiError(503, "The server has given this stream up before its end."),
);

function unavailable(message: string): ApiError {
  return new ApiError(404, message, { param: "Last-Event-ID" });
}

export function noSuchStream(): ApiError {
  return unavailable("There is no such stream: it is no longer kept, or was never there.");
}

function notKept(id: string, upTo: number): ApiError {
  return unavailable(
    `The events of this stream up to number ${upTo} are no longer kept. Those after them are given ` +
      `to a request with the header Last-Event-ID: ${id}-${upTo}`,
  );
}

function notYet(id: string, after: number, last: number): ApiError {
  return unavailable(
    `This stream has no event with the number ${after}. Its last one so far is ${id}-${last}.`,
  );
}
