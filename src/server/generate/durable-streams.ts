/** All streams that can be asked for again, and what they may take together. */

import type { Waiting } from "../admission.ts";
import { type DurableOptions, DurableStream, noSuchStream } from "./durable.ts";
import type { StreamSource } from "./stream-source.ts";

export interface DurableLimits {
  readonly streams: number;
  /** Of all streams together. */
  readonly bytes: number;
  /** Of each: see DurableOptions. */
  readonly givenBytes: number;
  readonly aheadBytes: number;
}

export interface OpenOptions extends Omit<DurableOptions, "givenBytes" | "aheadBytes"> {
  readonly keyIdentity: string;
  /** Places that the generation holds until it is over. */
  readonly choices: number;
}

interface Owned {
  readonly stream: DurableStream;
  readonly keyIdentity: string;
  readonly choices: number;
}

export class DurableStreams implements Waiting {
  /** Those that nobody reads stand in the order in which they were left. */
  readonly #streams = new Map<string, Owned>();
  readonly #limits: DurableLimits;
  #bytes = 0;
  #isEnding = false;

  constructor(limits: DurableLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** What is kept of all streams. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The first reader of a new stream, or undefined where there are too many to keep another. */
  open({ keyIdentity, choices, ...options }: OpenOptions): StreamSource | undefined {
    if (this.#streams.size >= this.#limits.streams && !this.#dropFirst(isFinished)) {
      return undefined;
    }
    const { id } = options;
    const stream = new DurableStream({ ...options, ...this.#limits }, {
      weigh: (bytes) => this.#weigh(bytes),
      left: (wasRead) => this.#left(id, wasRead),
      dropped: () => this.#dropped(id),
    });
    this.#streams.set(id, { stream, keyIdentity, choices });
    return stream.read(0);
  }

  /**
   * What comes after event `after`; undefined where the stream has ended with it.
   * @throws ApiError 404 for a stream or events that are not there, or are another key's
   */
  resume(id: string, after: number, keyIdentity: string): StreamSource | undefined {
    const owned = this.#streams.get(id);
    if (owned?.keyIdentity !== keyIdentity) throw noSuchStream();
    return owned.stream.read(after);
  }

  places(keyIdentity?: string): number {
    let places = 0;
    for (const owned of this.#streams.values()) {
      if (isPaused(owned) && isOf(owned, keyIdentity)) places += owned.choices;
    }
    return places;
  }

  giveUp(keyIdentity?: string): boolean {
    return this.#dropFirst((owned) => isPaused(owned) && isOf(owned, keyIdentity));
  }

  end(): void {
    this.#isEnding = true;
    while (this.#dropFirst(isUnread));
  }

  #left(id: string, wasRead: boolean): void {
    const owned = this.#streams.get(id);
    if (!owned) return;
    if (this.#isEnding) return owned.stream.drop();
    if (!wasRead) return;
    this.#streams.delete(id);
    this.#streams.set(id, owned);
  }

  #dropped(id: string): void {
    this.#bytes -= this.#streams.get(id)?.stream.bytes ?? 0;
    this.#streams.delete(id);
  }

  #dropFirst(isMeant: (owned: Owned) => boolean): boolean {
    const found = this.#streams.values().find(isMeant);
    found?.stream.drop();
    return found !== undefined;
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes;
    if (bytes > 0 && this.#bytes > this.#limits.bytes) this.#relieve();
  }

  /**
   * Comes below the limit. What a reader has still to be given stays: it was within the limit when it
   * was generated, and no more is while it is read.
   */
  #relieve(): void {
    const isOverweight = () => this.#bytes > this.#limits.bytes;
    while (isOverweight() && this.#dropFirst(isFinished));
    while (isOverweight() && this.#dropFirst(isUnread));
    if (!isOverweight()) return;
    const heaviest = [...this.#streams.values()].sort((a, b) => b.stream.bytes - a.stream.bytes);
    for (const { stream } of heaviest) {
      if (isOverweight()) stream.halve();
    }
  }
}

const isUnread = ({ stream }: Owned): boolean => !stream.isRead;
const isFinished = ({ stream }: Owned): boolean => stream.isOver && !stream.isRead;
const isPaused = ({ stream }: Owned): boolean => !stream.isOver && !stream.isRead;

function isOf(owned: Owned, keyIdentity: string | undefined): boolean {
  return keyIdentity === undefined || owned.keyIdentity === keyIdentity;
}

/** The stream and the number of its event in a Last-Event-ID header; undefined for another form. */
export function parseEventId(header: string): { id: string; number: number } | undefined {
  const [, id, number] = /^([\w-]{1,128})-(\d{1,15})$/.exec(header) ?? [];
  return id === undefined ? undefined : { id, number: Number(number) };
}
