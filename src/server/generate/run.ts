/** The generations of one HTTP request: begun together, metered, and ended together. */

import type { EndEvent, EngineEvent } from "../../engine/events.ts";
import type { EngineRequest, GenerateRequest } from "../../engine/request.ts";
import type { AccessRecord } from "../access.ts";
import { notReady } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Services } from "../services.ts";
import { type Indexed, merge } from "./merge.ts";

export type ChoiceEvent = Indexed<EngineEvent>;

/** A prompt to which nothing is to be added: it ends at once, without the engine. */
export interface NothingRequest extends Pick<GenerateRequest, "tokens"> {
  readonly kind: "nothing";
}

export interface RunOptions {
  readonly services: Services;
  readonly metrics: Metrics;
  readonly access: AccessRecord;
  readonly requests: readonly (EngineRequest | NothingRequest)[];
  /** Frees what the request holds besides the engine's own; called once, when all is over. */
  readonly release: () => void;
}

export class Run {
  readonly choices: number;
  readonly #abort = new AbortController();
  readonly #events: AsyncGenerator<ChoiceEvent, void, undefined>;
  readonly #whenOver: (() => void)[];
  /** Taken while the head waited, to be given out first. */
  readonly #early: ChoiceEvent[] = [];
  #pending: Promise<IteratorResult<ChoiceEvent, void>> | undefined;
  #isOver = false;

  constructor(options: RunOptions) {
    const { services, requests } = options;
    this.choices = requests.length;
    this.#whenOver = [options.release];
    this.#events = merge(
      requests.map((request) =>
        metered(
          request.kind === "nothing"
            ? nothing(request)
            : services.engine.submit(request, this.#abort.signal),
          this.#abort,
          options,
        )
      ),
    );
  }

  /** Ends all choices at once, for a client who reads on: it is told that they end unfinished. */
  stop(): void {
    this.#abort.abort();
  }

  /** Ends all choices at once, for nobody. */
  cancel(): void {
    this.#abort.abort();
    // What fails after the end is nobody's any more.
    this.#pending?.catch(() => {});
    this.#events.return().catch(() => {});
    this.#over();
  }

  /**
   * Waits for the first token or end of any choice, but no longer than `milliseconds`.
   * @throws ArcticError what the engine refuses, or fails at, until then
   */
  async head(milliseconds: number): Promise<void> {
    const timer = Promise.withResolvers<"late">();
    const id = setTimeout(() => timer.resolve("late"), milliseconds);
    try {
      for (;;) {
        this.#pending ??= this.#events.next();
        const result = await Promise.race([this.#pending, timer.promise]);
        if (result === "late") return;
        this.#pending = undefined;
        if (result.done) return;
        this.#early.push(result.value);
        if (result.value.event.type !== "prefill") return;
      }
    } catch (error) {
      this.cancel();
      throw error;
    } finally {
      clearTimeout(id);
    }
  }

  /** All events, each choice's in order. Leaving the loop ends the choices. */
  async *events(): AsyncGenerator<ChoiceEvent, void, undefined> {
    try {
      for (;;) {
        const early = this.#early.shift();
        if (early) {
          yield early;
          continue;
        }
        this.#pending ??= this.#events.next();
        const result = await this.#pending;
        this.#pending = undefined;
        if (result.done) return;
        yield result.value;
      }
    } finally {
      this.cancel();
    }
  }

  /** Calls `action` when all choices have ended, or now if they have. */
  whenOver(action: () => void): void {
    if (this.#isOver) action();
    else this.#whenOver.push(action);
  }

  #over(): void {
    this.#isOver = true;
    for (const action of this.#whenOver.splice(0)) action();
  }
}

async function* nothing({ tokens }: NothingRequest): AsyncGenerator<EngineEvent, void, undefined> {
  const timings = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
  yield {
    type: "end",
    finishReason: "length",
    text: "",
    usage: { promptTokens: tokens.length, completionTokens: 0, cachedTokens: 0 },
    timings: { ...timings, prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 },
  };
}

/** Where it is left before its end, it aborts all choices and still tells the meter of that end. */
async function* metered(
  events: AsyncGenerator<EngineEvent, void, undefined>,
  abort: AbortController,
  { metrics, access }: RunOptions,
): AsyncGenerator<EngineEvent, void, undefined> {
  const meter = metrics.meter();
  let isOver = false;
  const next = async (): Promise<EngineEvent | undefined> => {
    isOver = true; // unless an event says otherwise: a failure is an end
    const { value, done } = await events.next();
    if (done || !value) return undefined;
    meter.observe(value);
    if (value.type === "end") access.count(value);
    isOver = value.type === "end";
    return value;
  };
  try {
    for (let event = await next(); event; event = await next()) yield event;
  } finally {
    if (!isOver) {
      abort.abort();
      while (!isOver) await next();
    }
    await events.return();
  }
}

/** An end that is an answer: no client cancels a generation and reads on. */
export function checkEnd(end: EndEvent): void {
  if (end.finishReason === "cancelled") throw notReady("The server ended this generation.");
}
