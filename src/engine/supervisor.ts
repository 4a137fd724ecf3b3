/**
 * Keeps an engine running in a thread of its own: starts it, starts it once again when the thread or
 * the device is lost, and gives up when that happens a second time or when nothing moves any more.
 */

import { assert, defined } from "../assert.ts";
import { ArcticError, Exit } from "../errors.ts";
import { limits } from "../limits.ts";
import type { EngineDoor, EngineStats } from "./door.ts";
import { added, idle } from "./engine-stats.ts";
import type { EngineEvent } from "./events.ts";
import { RemoteEngine } from "./remote.ts";
import type { EngineRequest } from "./request.ts";
import { errorFromWire, type FromHost, type Port } from "./wire.ts";

/** A thread that opens an engine and hosts it. */
export interface EngineThread {
  readonly port: Port;
  /** Resolves with the reason when the thread has ended or has thrown what nobody caught. */
  readonly failed: Promise<string>;
  /** Ends it, whatever it is doing. */
  terminate(): void;
}

export interface SupervisorOptions {
  readonly start: () => EngineThread;
  /** Milliseconds, never going back. */
  readonly clock: () => number;
  /** Calls back at this interval until the returned function is called. */
  readonly every: (milliseconds: number, callback: () => void) => () => void;
  /** What the thread says while it opens its engine. */
  readonly onNote?: (note: unknown) => void;
  /** The engine is open, and no request has been given to it. */
  readonly onOpened?: (port: Port) => void;
  /** The engine was lost, and is being opened again. */
  readonly onRestart?: (error: Error) => void;
  readonly onRestarted?: () => void;
  /** There is no engine any more, and there will be none. Its requests have been failed. */
  readonly onUnrecoverable: (error: Error) => void;
}

export type EngineState = "opening" | "ready" | "restarting" | "lost";

interface Running {
  readonly thread: EngineThread;
  readonly engine: RemoteEngine;
}

export class Supervisor implements EngineDoor {
  readonly #options: SupervisorOptions;
  readonly #closed = new AbortController();
  #stopWatching = () => {};
  #state: EngineState = "opening";
  #running: Running | undefined;
  /** The one that runs or has run last. */
  #latest: RemoteEngine | undefined;
  /** What engines before it have done. */
  #before: EngineStats | undefined;
  /** When something last happened, or had no need to. */
  #movedAt = 0;

  private constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /**
   * Starts the thread and waits for its engine.
   * @param signal gives up
   * @throws what kept the engine from opening; `engine_crashed` when its thread failed
   */
  static async open(options: SupervisorOptions, signal?: AbortSignal): Promise<Supervisor> {
    const supervisor = new Supervisor(options);
    await supervisor.#begin(signal);
    supervisor.#stopWatching = options.every(
      limits.watchdogLookMilliseconds,
      () => supervisor.#watch(),
    );
    return supervisor;
  }

  get state(): EngineState {
    return this.#state;
  }

  // An engine that was opened again is as wide as the first: model and options are the same.
  get contextTokens(): number {
    return this.#engine.contextTokens;
  }

  get vocabulary(): number {
    return this.#engine.vocabulary;
  }

  get device(): string {
    return this.#engine.device;
  }

  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    if (this.#running === undefined) throw unavailable(this.#state);
    const { engine } = this.#running;
    // Silence counts from the first request that hears it.
    if (!engine.isExpecting) this.#move();
    yield* engine.submit(request, signal);
  }

  /** Counters go on through a restart. */
  stats(): EngineStats {
    const stats = this.#engine.stats();
    if (this.#running === undefined) return idle(this.#before ?? stats);
    return this.#before === undefined ? stats : added(this.#before, stats);
  }

  /** Ends the thread; requests that still run fail. */
  close(): void {
    const error = new ArcticError(
      "engine_closed",
      "The engine was closed while a request ran.",
    );
    this.#closed.abort(error);
    this.#stopWatching();
    this.#stop(error);
    this.#state = "lost";
  }

  get #engine(): RemoteEngine {
    return defined(this.#latest, "the engine");
  }

  async #begin(signal?: AbortSignal): Promise<void> {
    const thread = this.#options.start();
    const { port, failed } = thread;
    const signals = [this.#closed.signal, ...(signal ? [signal] : [])];
    let message: FromHost & { type: "opened" };
    try {
      message = await this.#opened(thread, AbortSignal.any(signals));
      this.#options.onOpened?.(port);
    } catch (error) {
      thread.terminate();
      throw error;
    }
    const engine = new RemoteEngine(port, {
      opened: message.opened,
      stats: message.stats,
      onProgress: () => this.#move(),
      onBroken: (error) => this.#lose(thread, error),
    });
    this.#latest = engine;
    this.#running = { thread, engine };
    this.#state = "ready";
    this.#move();
    failed.then((reason) => this.#lose(thread, crashed(reason)));
  }

  #opened(thread: EngineThread, signal: AbortSignal): Promise<FromHost & { type: "opened" }> {
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort, { once: true });
      thread.failed.then((reason) => reject(crashed(reason)));
      thread.port.onmessage = ({ data }: MessageEvent<FromHost>) => {
        if (data.type === "note") return this.#options.onNote?.(data.note);
        signal.removeEventListener("abort", abort);
        if (data.type === "failed") return reject(errorFromWire(data.error));
        assert(data.type === "opened", `an engine that opens says \`${data.type}\``);
        resolve(data);
      };
    });
  }

  #move(): void {
    this.#movedAt = this.#options.clock();
  }

  /** A native call that hangs cannot be ended from within the process. */
  #watch(): void {
    if (this.#running === undefined) return;
    if (!this.#running.engine.isExpecting) return this.#move();
    const silent = this.#options.clock() - this.#movedAt;
    if (silent >= limits.watchdogMilliseconds) this.#giveUp(hung(silent));
  }

  /** @param thread the one that was lost; one that was given up before is no news */
  async #lose(thread: EngineThread, error: Error): Promise<void> {
    if (this.#running?.thread !== thread) return;
    const isFirst = this.#before === undefined;
    const stats = this.stats();
    this.#stop(error);
    if (!isFirst) return this.#giveUp(error);
    this.#before = stats;
    this.#state = "restarting";
    this.#options.onRestart?.(error);
    try {
      await this.#begin();
    } catch (cause) {
      if (this.#closed.signal.aborted) return;
      return this.#giveUp(cause instanceof Error ? cause : error);
    }
    this.#options.onRestarted?.();
  }

  #giveUp(error: Error): void {
    this.#stopWatching();
    this.#state = "lost";
    this.#stop(error);
    this.#options.onUnrecoverable(error);
  }

  #stop(error: Error): void {
    const running = this.#running;
    this.#running = undefined;
    running?.engine.fail(error);
    running?.thread.terminate();
  }
}

function unavailable(state: EngineState): ArcticError {
  return state === "restarting"
    ? new ArcticError(
      "engine_restarting",
      "The engine is being opened again after a fault. Try again in a moment.",
    )
    : new ArcticError("engine_lost", "The engine has stopped, and the server is about to end.");
}

function crashed(reason: string): ArcticError {
  return new ArcticError(
    "engine_crashed",
    `The engine's thread has ended: ${reason}. This is a bug in arctic or the driver: please ` +
      "report it.",
    { exit: Exit.unrecoverable },
  );
}

function hung(milliseconds: number): ArcticError {
  return new ArcticError(
    "engine_hung",
    `The engine has not moved for ${
      Math.round(milliseconds / 1000)
    } s although requests wait for ` +
      "it. Restart arctic; if it happens again, update the graphics driver or use --backend cpu.",
    { exit: Exit.unrecoverable },
  );
}
