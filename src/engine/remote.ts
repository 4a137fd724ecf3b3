/** The server's side of the way between threads: an engine in another thread, used like any other. */

import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import { Channel } from "./channel.ts";
import type { EngineDoor, EngineStats } from "./door.ts";
import type { EngineEvent } from "./events.ts";
import type { EngineRequest } from "./request.ts";
import {
  errorFromWire,
  type FromHost,
  type Happening,
  type Opened,
  type Port,
  type ToHost,
  toWire,
  type Transfer,
} from "./wire.ts";

export interface RemoteOptions {
  readonly opened: Opened;
  readonly stats: EngineStats;
  /** A step was taken or gets on, or something happened to a request. */
  readonly onProgress?: () => void;
  /** The engine can run nothing any more. */
  readonly onBroken?: (error: Error) => void;
}

/** A request that has not ended. */
interface Open {
  readonly events: Channel<EngineEvent>;
  /** Events that the engine may still send. */
  credit: number;
  /** Events read that the engine has not been told of. */
  read: number;
}

export class RemoteEngine implements EngineDoor {
  readonly contextTokens: number;
  readonly vocabulary: number;
  readonly device: string;
  readonly #port: Port;
  readonly #options: RemoteOptions;
  readonly #open = new Map<number, Open>();
  #stats: EngineStats;
  #lastId = 0;
  #lost: Error | undefined;

  /** @param port the other end of that which `hostEngine` serves, and has sent `opened` over */
  constructor(port: Port, options: RemoteOptions) {
    const { contextTokens, vocabulary, device } = options.opened;
    this.contextTokens = contextTokens;
    this.vocabulary = vocabulary;
    this.device = device;
    this.#port = port;
    this.#options = options;
    this.#stats = options.stats;
    port.onmessage = ({ data }: MessageEvent<FromHost>) => this.#receive(data);
  }

  /** Whether a sound engine would let something happen: a request is open, and all are read. */
  get isExpecting(): boolean {
    return this.#open.size > 0 && [...this.#open.values()].every(({ credit }) => credit > 0);
  }

  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    if (this.#lost !== undefined) throw this.#lost;
    const id = ++this.#lastId;
    const [wire, transfer] = toWire(request);
    const open: Open = { events: new Channel(), credit: limits.eventCredit, read: 0 };
    this.#open.set(id, open);
    const isCancelled = signal?.aborted ?? false;
    const { credit } = open;
    this.#post({ type: "submit", id, request: wire, credit, isCancelled }, transfer);
    const cancel = () => this.#post({ type: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      yield* open.events.read(() => this.#taken(id, open));
    } finally {
      signal?.removeEventListener("abort", cancel);
      if (this.#open.delete(id)) this.#post({ type: "leave", id });
    }
  }

  /** As of the last message; after each event, end and cancellation there is one. */
  stats(): EngineStats {
    return this.#stats;
  }

  /** Nothing comes any more: what is open, and whatever is submitted from now on, throws `error`. */
  fail(error: Error): void {
    this.#lost ??= error;
    for (const { events } of this.#open.values()) events.fail(error);
    this.#open.clear();
  }

  /** Tells the engine in turns of half its credit, so that it never waits for a reader that keeps up. */
  #taken(id: number, open: Open): void {
    open.read += 1;
    if (open.read < limits.eventCredit / 2 || !this.#open.has(id)) return;
    this.#post({ type: "credit", id, events: open.read });
    open.credit += open.read;
    open.read = 0;
  }

  #post(message: ToHost, transfer: Transfer = []): void {
    if (this.#lost === undefined) this.#port.postMessage(message, transfer);
  }

  #receive(message: FromHost): void {
    if (this.#lost !== undefined) return;
    if (message.type === "alive") return this.#options.onProgress?.();
    assert(message.type === "news", `an engine that runs says \`${message.type}\``);
    const { happenings, stats, broken } = message;
    const moved = happenings.length > 0 || stats.steps !== this.#stats.steps;
    this.#stats = stats;
    for (const happening of happenings) this.#happen(happening);
    if (moved) this.#options.onProgress?.();
    if (broken !== undefined) this.#options.onBroken?.(errorFromWire(broken));
  }

  #happen(happening: Happening): void {
    const { id } = happening;
    const open = this.#open.get(id);
    // Its reader has left while this was on its way.
    if (open === undefined) return;
    if ("event" in happening) {
      open.credit -= 1;
      open.events.push(happening.event);
      return;
    }
    this.#open.delete(id);
    if ("error" in happening) open.events.fail(errorFromWire(happening.error));
    else open.events.close();
  }
}
