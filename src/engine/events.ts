/** What a request yields: any number of progress and result events, then one `end`. */

export type FinishReason = "stop" | "length" | "cancelled";

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Milliseconds of the request's own work, and what they make of its tokens. */
export interface Timings {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillTokensPerSecond: number;
  /** Of the tokens after the first, which belongs to the prefill. 0 when there are none. */
  readonly decodeTokensPerSecond: number;
}

export type EngineEvent =
  /** `done` of the prompt's tokens have been read. */
  | { readonly type: "prefill"; readonly done: number; readonly total: number }
  /** One generated token; `text` is what can be shown now, possibly nothing. */
  | {
    readonly type: "token";
    readonly token: number;
    readonly text: string;
    readonly logprob: number;
  }
  /** Natural log-probabilities [vocabulary] of the token after position `position`. */
  | { readonly type: "scored"; readonly position: number; readonly logprobs: Float32Array }
  | {
    readonly type: "end";
    readonly finishReason: FinishReason;
    /** What was held back until now, and belongs to the output. */
    readonly text: string;
    readonly usage: Usage;
    readonly timings: Timings;
  };

export type EndEvent = Extract<EngineEvent, { type: "end" }>;
