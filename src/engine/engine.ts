/**
 * The engine: the one door through which the server and the commands reach the model.
 *
 *     engine.submit -> scheduler.next -> model.forward -> backend op
 */

import type { Backend, Batch, WeightSource } from "../model/backend.ts";
import { ArcticModel, type OnRouting } from "../model/arctic.ts";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { EngineEvent } from "./events.ts";
import { type Clock, Generation, type TextStream } from "./generation.ts";
import type { Job } from "./job.ts";
import { PagePool } from "./page-pool.ts";
import {
  type AttentionWindow,
  type EngineRequest,
  type GenerateRequest,
  validateRequest,
} from "./request.ts";
import { Scheduler, type Step } from "./scheduler.ts";
import { Scoring } from "./scoring.ts";
import { Sequence } from "./sequence.ts";

/** What the engine asks of a tokenizer. */
export interface EngineTokenizer {
  /** @param prompt the tokens before the first that is pushed */
  textStream(prompt: readonly number[]): TextStream;
}

export interface EngineOptions {
  /** Rows of the largest forward pass. */
  readonly chunkTokens?: number;
  readonly tokenizer?: EngineTokenizer | undefined;
  readonly clock?: Clock;
  readonly onLoad?: (done: number, total: number) => void;
  readonly onRouting?: OnRouting | undefined;
}

/** What a backend must be made for, so that an engine over `source` can run on it. */
export function backendOptions(source: WeightSource, options: EngineOptions = {}) {
  const contextTokens = Math.min(source.config.contextTokens, limits.kvTokens);
  const maxRows = options.chunkTokens ?? limits.chunkTokens;
  return {
    maxRows,
    maxLogitRows: Math.min(maxRows, limits.logitRows),
    pages: Math.ceil((contextTokens + maxRows) / limits.pageTokens),
    slots: contextTokens + 1,
  };
}

export class Engine {
  /** Tokens a request may attend to. */
  readonly contextTokens: number;
  readonly #source: WeightSource;
  readonly #backend: Backend;
  readonly #model: ArcticModel;
  readonly #pool: PagePool;
  readonly #scheduler: Scheduler;
  readonly #chunkTokens: number;
  readonly #tokenizer: EngineTokenizer | undefined;
  readonly #clock: Clock;
  #running = false;

  private constructor(
    source: WeightSource,
    backend: Backend,
    model: ArcticModel,
    options: EngineOptions,
  ) {
    const { maxRows, maxLogitRows, pages, slots } = backendOptions(source, options);
    this.contextTokens = slots - 1;
    this.#source = source;
    this.#backend = backend;
    this.#model = model;
    this.#pool = new PagePool(pages);
    this.#scheduler = new Scheduler(this.#pool, maxRows, maxLogitRows);
    this.#chunkTokens = maxRows;
    this.#tokenizer = options.tokenizer;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** @param backend made with `backendOptions(source, options)`; the engine closes it */
  static async open(
    source: WeightSource,
    backend: Backend,
    options: EngineOptions = {},
  ): Promise<Engine> {
    const model = await ArcticModel.load(source, backend, options.onLoad, options.onRouting);
    return new Engine(source, backend, model, options);
  }

  /**
   * Runs a request and yields its events, the last of which is `end`. Leaving the loop over them, or
   * aborting `signal`, ends the request and frees what it held.
   * @throws ArcticError `request_…` before anything is run; `engine_…` or `device_…` while it runs
   */
  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    validateRequest(request, this.#source.config, this.contextTokens);
    const job = this.#job(request);
    const cancel = () => {
      if (this.#scheduler.remove(job)) job.cancel();
    };
    this.#scheduler.add(job);
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      this.#start();
      yield* job.events.read(() => this.#start());
    } finally {
      signal?.removeEventListener("abort", cancel);
      cancel();
    }
  }

  /** Ends all requests and releases the device. */
  close(): void {
    const closed = new ArcticError("engine_closed", "The engine was closed while a request ran.");
    this.#failAll(closed);
    this.#backend.close();
  }

  #job(request: EngineRequest): Job {
    const whole: AttentionWindow = { sinks: 0, window: this.contextTokens };
    const sequence = new Sequence(
      request.tokens,
      this.#pool,
      request.attention ?? whole,
      this.#chunkTokens,
    );
    return request.kind === "score"
      ? new Scoring(sequence, this.#clock)
      : this.#generation(request, sequence);
  }

  #generation(request: GenerateRequest, sequence: Sequence): Generation {
    const room = request.attention ? Infinity : this.contextTokens - request.tokens.length;
    return new Generation({
      request,
      sequence,
      maxTokens: Math.min(request.maxTokens ?? Infinity, room),
      endTokens: new Set([this.#source.config.eosToken]),
      text: this.#tokenizer?.textStream(request.tokens),
      clock: this.#clock,
    });
  }

  /** Runs steps until there is nothing to do. Called whenever there may be something again. */
  async #start(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let step = this.#scheduler.next(); step; step = this.#scheduler.next()) {
        await this.#step(step);
      }
    } catch (error) {
      this.#failAll(error);
    } finally {
      this.#running = false;
    }
  }

  async #step({ job, rows }: Step): Promise<void> {
    const { sequence } = job;
    const batch = singleSequenceBatch(job, rows);
    const logits = await this.#model.forward(batch);
    // The request may have been cancelled meanwhile: then nobody waits for these logits.
    if (!this.#scheduler.jobs().includes(job)) return;

    const first = sequence.stored;
    sequence.advance(rows);
    job.progress(sequence.stored);
    const width = this.#source.config.vocabulary;
    for (const [i, row] of batch.logitRows.entries()) {
      if (job.accept(logits.subarray(i * width, (i + 1) * width), first + row)) continue;
      this.#scheduler.remove(job);
      return;
    }
  }

  #failAll(error: unknown): void {
    for (const job of this.#scheduler.jobs()) {
      this.#scheduler.remove(job);
      job.events.fail(error);
    }
  }
}

/** The first `rows` pending tokens of one sequence. */
function singleSequenceBatch(job: Job, rows: number): Batch {
  const { sequence, wants } = job;
  const first = sequence.stored;
  const last = rows === sequence.pending ? [rows - 1] : [];
  return {
    tokens: sequence.next(rows),
    sequence: new Uint32Array(rows),
    position: Uint32Array.from({ length: rows }, (_, i) => first + i),
    sequences: [sequence.view()],
    logitRows: wants === "all"
      ? Uint32Array.from({ length: rows }, (_, i) => i)
      : Uint32Array.from(last),
  };
}
