/** What a request yields: any number of progress and result events, then one `end`. */

/** `loop`: the output repeated itself and the request had asked to end then. */
export type FinishReason = "stop" | "length" | "loop" | "cancelled";

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Tokens of the prompt whose keys and values were found in the prefix cache. */
  readonly cachedTokens: number;
}

/** Milliseconds of the request's own work, and what they make of its tokens. */
export interface Timings {
  /** From arrival until the first of its tokens was given to the model. */
  readonly queueMs: number;
  /** From then until the first generated token. */
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillTokensPerSecond: number;
  /** Of the tokens after the first, which belongs to the prefill. 0 when there are none. */
  readonly decodeTokensPerSecond: number;
}

/** A token and its natural log-probability under the model: before temperature, bias and filters. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** A token that was drawn, told where the request asked for log-probabilities. */
export interface DrawnLogprob extends TokenLogprob {
  /** Likeliest first, as many as were asked for. */
  readonly top: readonly TokenLogprob[];
}

export type EngineEvent =
  /** `done` of the prompt's tokens have been read. */
  | { readonly type: "prefill"; readonly done: number; readonly total: number }
  /** One generated token; `text` is what can be shown now, possibly nothing. */
  | {
    readonly type: "token";
    readonly token: number;
    readonly text: string;
    /** Where the request asked for log-probabilities. */
    readonly logprob?: number;
    /** Likeliest first, as many as were asked for. */
    readonly top?: readonly TokenLogprob[];
  }
  /** Natural log-probabilities [vocabulary] of the token after position `position`. */
  | { readonly type: "scored"; readonly position: number; readonly logprobs: Float32Array }
  /** The same where a number of the likeliest was asked for; `next` is undefined after the last token. */
  | {
    readonly type: "scored-top";
    readonly position: number;
    readonly next: TokenLogprob | undefined;
    readonly top: readonly TokenLogprob[];
  }
  | {
    readonly type: "end";
    readonly finishReason: FinishReason;
    /** The stop text or the stop token that ended it; undefined for any other end. */
    readonly matched?: string | number;
    /**
     * The end token or stop token whose drawing ended it, where the request asked for
     * log-probabilities. It is no part of the output, and usage does not count it.
     */
    readonly endToken?: DrawnLogprob;
    /** What was held back until now, and belongs to the output. */
    readonly text: string;
    readonly usage: Usage;
    readonly timings: Timings;
  };

export type EndEvent = Extract<EngineEvent, { type: "end" }>;
