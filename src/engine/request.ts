/** What can be asked of the engine. validate-request.ts says what of it is refused. */

export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the k likeliest tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of likeliest tokens whose probabilities reach p; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than p times the likeliest; 0 keeps all. */
  readonly minP: number;
  readonly seed: number;
  /** Keep the tokens whose surprise is nearest the entropy, until they reach p; 1 or absent: all. */
  readonly typicalP?: number;
  /** What has been said is made less likely; absent: nothing is. */
  readonly penalties?: Penalties;
  /** Added to the logits of tokens, before anything else. */
  readonly logitBias?: ReadonlyMap<number, number>;
}

/** All of them look at the last `lastTokens` tokens at most, so an endless output costs no more. */
export interface Penalties {
  /** Divides positive and multiplies negative logits of tokens in prompt and output; 1 is off. */
  readonly repetition: number;
  /** Taken off for each time that a token stands in the output; 0 is off. */
  readonly frequency: number;
  /** Taken off once for a token that stands in the output; 0 is off. */
  readonly presence: number;
  readonly dry?: Dry;
  readonly lastTokens: number;
}

/** "Don't repeat yourself": a token that would prolong a repetition of n tokens loses
 * multiplier * base^(n - allowedLength) when n >= allowedLength. */
export interface Dry {
  readonly multiplier: number;
  readonly base: number;
  readonly allowedLength: number;
  /** Tokens that no repetition reaches across. */
  readonly breakers: ReadonlySet<number>;
}

/** Sink tokens that are kept when nobody says how many (Xiao et al. 2023, section 3.2). */
export const DEFAULT_SINKS = 4;

/** Which earlier tokens a new token attends to: the first `sinks`, the last `window`, and itself. */
export interface AttentionWindow {
  readonly sinks: number;
  readonly window: number;
}

/** Says which tokens may come next; it is told every token that did. */
export interface TokenConstraint {
  admits(token: number): boolean;
  accept(token: number): void;
  /** Resolves when `admits` can be asked about the next token; absent: at once. */
  ready?(): Promise<void>;
  /** The request is over. */
  close?(): void;
}

export interface GenerateRequest {
  readonly kind: "generate";
  readonly tokens: readonly number[];
  /** Tokens to generate at most; undefined: what the context has room for. */
  readonly maxTokens?: number;
  readonly sampling: Sampling;
  /** Texts that end the generation; they are not part of its output. */
  readonly stop?: readonly string[];
  /** Tokens that end the generation as the model's own end does; they are not part of its output. */
  readonly stopTokens?: readonly number[];
  /** Tokens to generate before any end token, stop text or loop counts. */
  readonly minTokens?: number;
  /** End when the last tokens repeat themselves (limits.loopTokens of them). */
  readonly stopOnLoop?: boolean;
  /** How many of the likeliest tokens are told with each token; undefined: no log-probabilities. */
  readonly logprobs?: number;
  /** Tokens that it does not admit are passed over. */
  readonly constraint?: TokenConstraint;
  /** A grammar that the engine's host knows by this name: the constraint of a request from afar. */
  readonly grammar?: number;
  /** Generate on after the end-of-sequence token (for timing). */
  readonly ignoreEos?: boolean;
  /** Undefined: full attention, which ends where the model's context does. */
  readonly attention?: AttentionWindow;
  /** Only requests of the same salt share cached prefixes. */
  readonly cacheSalt?: string;
}

export interface ScoreRequest {
  readonly kind: "score";
  readonly tokens: readonly number[];
  /** Tell this many of the likeliest tokens instead of the log-probabilities of all. */
  readonly top?: number;
  readonly attention?: AttentionWindow;
}

export type EngineRequest = GenerateRequest | ScoreRequest;
