/**
 * The engine's side of the way between threads: runs what is asked for over a port and sends back
 * what happens, no faster than it is read.
 */

import { assert } from "../assert.ts";
import { errorCode } from "../errors.ts";
import { limits } from "../limits.ts";
import type { EngineDoor } from "./door.ts";
import type { EngineEvent } from "./events.ts";
import type { EngineRequest, TokenConstraint } from "./request.ts";
import {
  errorToWire,
  type FromHost,
  fromWire,
  type Happening,
  type Opened,
  type Port,
  type ToHost,
  type WireRequest,
} from "./wire.ts";

/** An engine that can say whether it is beyond use. */
export interface HostedDoor extends EngineDoor {
  /** Why it can run nothing any more; undefined as long as it can. */
  readonly broken?: unknown;
}

export interface HostOptions {
  /** What `GenerateRequest.grammar` stands for. Absent: no request may have one. */
  readonly constraint?: (grammar: number) => TokenConstraint;
  /** Messages that are not about requests. */
  readonly onOther?: (message: unknown) => void;
}

/** Serves `door` over `port` until the thread ends. */
export function hostEngine(door: HostedDoor, port: Port, options: HostOptions = {}): void {
  const host = new Host(door, port, options);
  port.onmessage = ({ data }: MessageEvent<ToHost>) => {
    if (isAboutRequest(data)) host.receive(data);
    else options.onOther?.(data);
  };
  const { contextTokens, vocabulary, device } = door;
  const opened: Opened = { contextTokens, vocabulary, device };
  port.postMessage({ type: "opened", opened, stats: door.stats() } satisfies FromHost);
}

/**
 * What to call for each layer and expert that a step has passed: it tells the other side, now and then.
 * A step of a large model that is read from disk takes minutes, and so may one of its layers.
 * @param clock milliseconds, never going back
 */
export function signOfLife(port: Port, clock: () => number): () => void {
  let said = -Infinity;
  return () => {
    const now = clock();
    if (now - said < limits.watchdogLookMilliseconds) return;
    said = now;
    port.postMessage({ type: "alive" } satisfies FromHost);
  };
}

/** A request that runs. */
interface Hosted {
  readonly controller: AbortController;
  /** Events that may still be sent. */
  credit: number;
  /** Resumes the one that waits for credit. */
  wake: (() => void) | undefined;
  left: boolean;
}

class Host {
  readonly #door: HostedDoor;
  readonly #port: Port;
  readonly #options: HostOptions;
  readonly #hosted = new Map<number, Hosted>();
  #news: Happening[] = [];
  #isScheduled = false;
  /** The device is gone. */
  #lost: unknown;

  constructor(door: HostedDoor, port: Port, options: HostOptions) {
    this.#door = door;
    this.#port = port;
    this.#options = options;
  }

  receive(message: ToHost): void {
    if (message.type === "submit") {
      const { id, request, credit, isCancelled } = message;
      const controller = new AbortController();
      const hosted: Hosted = { controller, credit, wake: undefined, left: false };
      assert(!this.#hosted.has(id), "two requests have the same number");
      this.#hosted.set(id, hosted);
      if (isCancelled) controller.abort();
      this.#run(id, request, hosted);
      // It counts as running or waiting from now on.
      return this.#schedule();
    }
    // The request may have ended while this was on its way.
    const hosted = this.#hosted.get(message.id);
    if (hosted === undefined) return;
    if (message.type === "credit") {
      hosted.credit += message.events;
    } else {
      hosted.left = message.type === "leave";
      hosted.controller.abort();
      // What the request held is free now, and its user is to know.
      this.#schedule();
    }
    hosted.wake?.();
  }

  /** Never rejects: whatever goes wrong is the request's end. */
  async #run(id: number, wire: WireRequest, hosted: Hosted): Promise<void> {
    let last: Happening = { id, ended: true };
    let constraint: TokenConstraint | undefined;
    try {
      const request = fromWire(wire);
      constraint = this.#constraint(request);
      const constrained = constraint ? { ...request, constraint } as EngineRequest : request;
      const events = this.#door.submit(constrained, hosted.controller.signal);
      for await (const event of events) {
        if (hosted.left) break;
        this.#tell({ id, event: alone(event) });
        hosted.credit -= 1;
        while (hosted.credit <= 0 && !hosted.left) {
          await new Promise<void>((resolve) => hosted.wake = resolve);
        }
        if (hosted.left) break;
      }
    } catch (error) {
      last = { id, error: errorToWire(error) };
      if (errorCode(error) === "device_lost") this.#lost ??= error;
    }
    // A request that was refused never reached the one who closes constraints.
    constraint?.close?.();
    this.#hosted.delete(id);
    if (!hosted.left) this.#tell(last);
    else this.#schedule();
  }

  #constraint(request: EngineRequest): TokenConstraint | undefined {
    if (request.kind === "score" || request.grammar === undefined) return undefined;
    const { constraint } = this.#options;
    assert(constraint !== undefined, "a request has a grammar, and its host knows none");
    return constraint(request.grammar);
  }

  #tell(happening: Happening): void {
    this.#news.push(happening);
    this.#schedule();
  }

  /**
   * What a step of the engine does to its requests reaches their loops in one turn of the microtask
   * queue, so one message takes all of it; and it leaves before the next step begins.
   */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    const happenings = this.#news;
    this.#news = [];
    const broken = this.#door.broken ?? this.#lost;
    const message: FromHost = {
      type: "news",
      happenings,
      stats: this.#door.stats(),
      broken: broken === undefined ? undefined : errorToWire(broken),
    };
    this.#port.postMessage(message);
  }
}

function isAboutRequest({ type }: { readonly type: string }): boolean {
  return type === "submit" || type === "credit" || type === "cancel" || type === "leave";
}

/** A view is cloned with all of its buffer, which may hold the rows of other requests. */
function alone(event: EngineEvent): EngineEvent {
  if (event.type !== "scored") return event;
  const { logprobs } = event;
  return logprobs.byteLength === logprobs.buffer.byteLength
    ? event
    : { ...event, logprobs: logprobs.slice() };
}
