/**
 * The engine: the one door through which the server and the commands reach the model.
 *
 *     engine.submit -> scheduler.next -> model.forward -> backend op
 */

import type { Backend, WeightSource } from "../model/backend.ts";
import { ArcticModel, type Watcher } from "../model/arctic.ts";
import { ArcticError, errorCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { stepBatch } from "./batch.ts";
import type { EngineDoor, EngineStats } from "./door.ts";
import type { EngineEvent } from "./events.ts";
import { type Clock, Generation, type TextStream } from "./generation.ts";
import type { Job } from "./job.ts";
import { LateConstraints, type Lateness } from "./late-constraints.ts";
import { type PageHash, PrefixCache } from "./prefix-cache.ts";
import type { AttentionWindow, EngineRequest, GenerateRequest } from "./request.ts";
import { type Part, Scheduler, type Step } from "./scheduler.ts";
import { Scoring } from "./scoring.ts";
import { Sequence } from "./sequence.ts";
import { StepPace } from "./step-pace.ts";
import { validateRequest } from "./validate-request.ts";

/** What the engine asks of a tokenizer. */
export interface EngineTokenizer {
  /** @param prompt the tokens before the first that is pushed */
  textStream(prompt: readonly number[]): TextStream;
}

export interface EngineOptions extends Watcher {
  /** Rows of the largest forward pass. */
  readonly chunkTokens?: number;
  /** Tokens whose keys and values there is room for, of all requests together; at least one context. */
  readonly kvTokens?: number;
  readonly tokenizer?: EngineTokenizer | undefined;
  readonly clock?: Clock;
  readonly onLoad?: (done: number, total: number) => void;
  readonly pageHash?: PageHash;
}

/** What a backend must be made for, so that an engine over `source` can run on it. */
export function backendOptions(source: WeightSource, options: EngineOptions = {}) {
  const contextTokens = Math.min(source.config.contextTokens, limits.kvTokens);
  const maxRows = options.chunkTokens ?? limits.chunkTokens;
  const kvTokens = Math.max(options.kvTokens ?? 0, contextTokens + maxRows);
  return {
    maxRows,
    maxLogitRows: Math.min(maxRows, limits.logitRows),
    pages: Math.ceil(kvTokens / limits.pageTokens),
    slots: contextTokens + 1,
  };
}

export class Engine implements EngineDoor {
  readonly contextTokens: number;
  readonly vocabulary: number;
  readonly device: string;
  readonly #source: WeightSource;
  readonly #backend: Backend;
  readonly #model: ArcticModel;
  readonly #cache: PrefixCache;
  readonly #scheduler: Scheduler;
  readonly #pace: StepPace;
  readonly #chunkTokens: number;
  readonly #tokenizer: EngineTokenizer | undefined;
  readonly #clock: Clock;
  readonly #late = new LateConstraints();
  #running = false;
  /** Why nothing can run any more. */
  #broken: unknown;
  #steps = 0;
  #generatedTokens = 0;
  #evictedTokens = 0;
  #numericalErrors = 0;

  private constructor(
    source: WeightSource,
    backend: Backend,
    model: ArcticModel,
    options: EngineOptions,
  ) {
    const { maxRows, maxLogitRows, pages, slots } = backendOptions(source, options);
    this.contextTokens = slots - 1;
    this.vocabulary = source.config.vocabulary;
    this.device = backend.device;
    this.#source = source;
    this.#backend = backend;
    this.#model = model;
    this.#cache = new PrefixCache(pages, options.pageHash);
    this.#pace = new StepPace(maxRows);
    this.#scheduler = new Scheduler({
      pool: this.#cache.pool,
      pace: this.#pace,
      chunkTokens: maxRows,
      logitRows: maxLogitRows,
      contextTokens: this.contextTokens,
    });
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
    const model = await ArcticModel.load(source, backend, options.onLoad, options);
    return new Engine(source, backend, model, options);
  }

  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    validateRequest(request, this.#source.config, this.contextTokens);
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#scheduler.waiting >= limits.waitingRequests) throw queueFull();
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

  /** Why nothing can run any more; undefined as long as it can. */
  get broken(): unknown {
    return this.#broken;
  }

  stats(): EngineStats {
    const { pool } = this.#cache;
    const { running, waiting, preemptions, promptTokens, prefix } = this.#scheduler;
    return {
      running,
      waiting,
      pagesTotal: pool.total,
      pagesUsed: pool.held,
      pagesCached: pool.cached,
      steps: this.#steps,
      promptTokens,
      generatedTokens: this.#generatedTokens,
      preemptions,
      prefixQueries: prefix.queries,
      prefixHits: prefix.hits,
      evictedTokens: this.#evictedTokens,
      numericalErrors: this.#numericalErrors,
    };
  }

  /** Ends all requests and releases the device. */
  close(): void {
    this.#breakDown(
      new ArcticError("engine_closed", "The engine was closed while a request ran."),
    );
    this.#backend.close();
  }

  #job(request: EngineRequest): Job {
    const whole: AttentionWindow = { sinks: 0, window: this.contextTokens };
    const attention = request.attention ?? whole;
    const room = request.attention ? Infinity : this.contextTokens - request.tokens.length;
    const most = request.kind === "score" ? 0 : Math.min(request.maxTokens ?? Infinity, room);
    const extent = request.tokens.length + most;
    const sequence = new Sequence({
      tokens: request.tokens,
      cache: this.#cache,
      attention,
      chunkTokens: this.#chunkTokens,
      extent,
      // A score wants the logits of every token once: it neither skips any nor begins again. And what
      // has left a window is gone.
      rewinds: request.kind !== "score" && extent <= attention.sinks + attention.window + 1,
      salt: request.kind === "score" ? "" : request.cacheSalt ?? "",
    });
    return request.kind === "score"
      ? new Scoring(request, sequence, this.#clock)
      : this.#generation(request, sequence, most);
  }

  #generation(request: GenerateRequest, sequence: Sequence, maxTokens: number): Generation {
    return new Generation({
      request,
      sequence,
      maxTokens,
      endTokens: new Set([this.#source.config.eosToken]),
      vocabulary: this.vocabulary,
      text: this.#tokenizer?.textStream(request.tokens),
      clock: this.#clock,
    });
  }

  /** Runs steps until there is nothing to do. Called whenever there may be something again. */
  async #start(): Promise<void> {
    if (this.#running || this.#broken !== undefined) return;
    this.#running = true;
    try {
      for (let step = this.#next(); step; step = this.#next()) {
        await this.#step(step);
        // Whoever cancels, submits or reads has a turn, however little a step waits for.
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#broken !== undefined) return;
      }
    } catch (error) {
      this.#breakDown(error);
    } finally {
      this.#running = false;
    }
  }

  async #step(step: Step): Promise<void> {
    const batch = stepBatch(step);
    const started = this.#clock();
    let logits: Float32Array;
    try {
      logits = await this.#model.forward(batch.batch);
    } catch (error) {
      if (errorCode(error) === "device_lost") this.#breakDown(error);
      else for (const { job } of step) this.#fail(job, error);
      return;
    }
    this.#observe(step, this.#clock() - started);
    const asked = step.filter((_, i) => (batch.wanted[i] ?? []).length > 0).map(({ job }) => job);
    const late = await this.#late.wait(asked, (job, error) => this.#failed(job, error));
    let row = 0;
    for (const [i, part] of step.entries()) {
      const positions = batch.wanted[i] ?? [];
      const rows = logits.subarray(
        row * this.vocabulary,
        (row + positions.length) * this.vocabulary,
      );
      this.#finish(part, rows, positions, late.get(part.job));
      row += positions.length;
    }
  }

  /** The next step, after the jobs whose constraints have become ready have been asked for their token. */
  #next(): Step | undefined {
    for (const [job, { logits, positions }] of this.#late.taken()) {
      if (this.#scheduler.has(job)) this.#accept(job, logits, positions);
    }
    return this.#scheduler.next();
  }

  #observe(step: Step, ms: number): void {
    const decoding = step.filter(({ job }) => job.sequence.pending === 1).length;
    const rows = step.reduce((sum, part) => sum + part.rows, 0);
    this.#pace.observe(decoding, rows - decoding, ms);
    this.#steps += 1;
  }

  /** What a step means for one of its jobs. */
  #finish(
    { job, rows }: Part,
    logits: Float32Array,
    positions: readonly number[],
    late: Lateness | undefined,
  ): void {
    if (positions.length > 0) this.#late.forget(job);
    // The request may have been cancelled meanwhile: then nobody waits for these logits.
    if (!this.#scheduler.has(job)) return;
    const { sequence } = job;
    const evicted = sequence.evicted;
    sequence.advance(rows);
    this.#evictedTokens += sequence.evicted - evicted;
    job.progress(sequence.stored);
    if (late === undefined) return this.#accept(job, logits, positions);
    this.#late.park(job, late, logits, positions);
    late.ready.then(() => this.#start());
  }

  #accept(job: Job, logits: Float32Array, positions: readonly number[]): void {
    const { sequence } = job;
    try {
      for (const [i, position] of positions.entries()) {
        const row = logits.subarray(i * this.vocabulary, (i + 1) * this.vocabulary);
        const goesOn = job.accept(row, position);
        if (job.wants === "last") this.#generatedTokens += 1;
        if (goesOn) continue;
        sequence.publish();
        this.#scheduler.remove(job);
        return;
      }
      // Where the logits were sound, so is what the pages hold.
      if (positions.length > 0) sequence.publish();
    } catch (error) {
      if (errorCode(error) === "engine_numerical_error") this.#numericalErrors += 1;
      this.#fail(job, error);
    }
  }

  #fail(job: Job, error: unknown): void {
    this.#late.forget(job);
    let isHere = true;
    try {
      isHere = this.#scheduler.remove(job);
    } finally {
      // Also where the pages do not add up any more: its reader is to have an end.
      if (isHere) job.fail(error);
    }
  }

  /** The same outside a step, where nobody would hear that the engine itself is at fault. */
  #failed(job: Job, error: unknown): void {
    try {
      this.#fail(job, error);
    } catch (fault) {
      this.#breakDown(fault);
    }
  }

  /** Nothing can run any more: neither what is here nor what comes. */
  #breakDown(error: unknown): void {
    this.#broken ??= error;
    for (const job of this.#scheduler.jobs()) {
      try {
        this.#fail(job, error);
      } catch {
        // Pages that do not add up for one do not for the others; each has been told why it ends.
      }
    }
    this.#late.clear();
  }
}

function queueFull(): ArcticError {
  return new ArcticError(
    "engine_queue_full",
    `${limits.waitingRequests} requests wait for a place already. Try again later.`,
  );
}
