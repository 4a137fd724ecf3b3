/**
 * The engine as its users see it, whether it runs in their thread (commands) or in a worker (the
 * server): one way in, one generator of events out, and numbers about how it is doing.
 */

import type { EngineEvent } from "./events.ts";
import type { EngineRequest } from "./request.ts";

export interface EngineDoor {
  /** Tokens a request may attend to. */
  readonly contextTokens: number;
  readonly vocabulary: number;
  /** Human name of the device. */
  readonly device: string;
  /**
   * Runs a request and yields its events, the last of which is `end`. Leaving the loop over them, or
   * aborting `signal`, ends the request and frees what it held. A reader that does not read holds the
   * request, and nobody else.
   * @throws ArcticError `request_…` before anything is run; `engine_queue_full` when too many wait;
   *   `engine_numerical_error`, `engine_…` or `device_…` while it runs
   */
  submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined>;
  stats(): EngineStats;
}

/** How the engine is doing now, and what it has done since it was opened. */
export interface EngineStats {
  /** Requests whose tokens are in the batch, and those that wait for room. */
  readonly running: number;
  readonly waiting: number;
  readonly pagesTotal: number;
  /** Pages held by requests. */
  readonly pagesUsed: number;
  /** Pages that no request holds but whose content can be found again. */
  readonly pagesCached: number;
  readonly steps: number;
  /** Of the requests that have been given room, whether computed or found in the prefix cache. */
  readonly promptTokens: number;
  /** Drawn, end tokens included. */
  readonly generatedTokens: number;
  readonly preemptions: number;
  /** Tokens that asked the prefix cache, and those that were found there. */
  readonly prefixQueries: number;
  readonly prefixHits: number;
  /** Tokens that left a sliding window. */
  readonly evictedTokens: number;
  /** Requests that ended because their logits were no numbers. */
  readonly numericalErrors: number;
}
