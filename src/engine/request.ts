/** What can be asked of the engine, and the one place where it is checked. */

import type { ModelConfig } from "../../weights-manifest/config.ts";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";

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
}

/** Which earlier tokens a new token attends to: the first `sinks`, the last `window`, and itself. */
export interface AttentionWindow {
  readonly sinks: number;
  readonly window: number;
}

/** Says which tokens may come next; it is told every token that did. */
export interface TokenConstraint {
  admits(token: number): boolean;
  accept(token: number): void;
}

export interface GenerateRequest {
  readonly kind: "generate";
  readonly tokens: readonly number[];
  /** Tokens to generate at most; undefined: what the context has room for. */
  readonly maxTokens?: number;
  readonly sampling: Sampling;
  /** Texts that end the generation; they are not part of its output. */
  readonly stop?: readonly string[];
  /** Tokens that it does not admit are passed over. */
  readonly constraint?: TokenConstraint;
  /** Generate on after the end-of-sequence token (for timing). */
  readonly ignoreEos?: boolean;
  /** Undefined: full attention, which ends where the model's context does. */
  readonly attention?: AttentionWindow;
}

export interface ScoreRequest {
  readonly kind: "score";
  readonly tokens: readonly number[];
  readonly attention?: AttentionWindow;
}

export type EngineRequest = GenerateRequest | ScoreRequest;

/**
 * Refuses what the model cannot answer, before any work is done.
 * @throws ArcticError `request_…`
 */
export function validateRequest(
  request: EngineRequest,
  config: ModelConfig,
  contextTokens: number,
): void {
  validateTokens(request.tokens, config.vocabulary);
  if (request.attention) validateWindow(request.attention, contextTokens);
  else validateContext(request, contextTokens);
  if (request.kind === "generate") {
    validateSampling(request.sampling);
    validateStop(request.stop ?? []);
  }
}

function refuse(code: `request_${string}`, message: string): never {
  throw new ArcticError(code, message);
}

function validateTokens(tokens: readonly number[], vocabulary: number): void {
  if (tokens.length === 0) {
    refuse("request_empty_prompt", "The prompt is empty. Give at least one token.");
  }
  for (const [i, token] of tokens.entries()) {
    if (Number.isInteger(token) && token >= 0 && token < vocabulary) continue;
    refuse(
      "request_bad_token",
      `Token ${token} at position ${i} of the prompt is not in the vocabulary: ` +
        `ids are whole numbers from 0 to ${vocabulary - 1}.`,
    );
  }
}

function validateContext(request: EngineRequest, contextTokens: number): void {
  const prompt = request.tokens.length;
  const room = request.kind === "generate" ? contextTokens - 1 : contextTokens;
  if (prompt > room) {
    refuse(
      "request_context_length",
      `The prompt has ${prompt} tokens, and the model's context of ${contextTokens} tokens ` +
        `has room for ${room}. Shorten the prompt.`,
    );
  }
  const max = request.kind === "generate" ? request.maxTokens : undefined;
  if (max !== undefined && !(Number.isInteger(max) && max >= 1)) {
    refuse(
      "request_bad_max_tokens",
      `max_tokens is ${max}. Give a whole number of tokens, 1 or more.`,
    );
  }
}

function validateWindow({ sinks, window }: AttentionWindow, contextTokens: number): void {
  const whole = Number.isInteger(sinks) && Number.isInteger(window);
  if (whole && sinks >= 0 && window >= 1 && sinks + window + 1 <= contextTokens) return;
  refuse(
    "request_bad_window",
    `${sinks} sinks and a window of ${window} tokens do not fit the model: both are whole numbers, ` +
      `the window at least 1, and together they may be at most ${contextTokens - 1}.`,
  );
}

function validateSampling(s: Sampling): void {
  const bad = (name: string, value: number, range: string) =>
    refuse("request_bad_sampling", `${name} is ${value}. Give a number ${range}.`);
  if (!(s.temperature >= 0 && s.temperature <= limits.temperature)) {
    bad("temperature", s.temperature, `from 0 (greedy) to ${limits.temperature}`);
  }
  if (!(Number.isInteger(s.topK) && s.topK >= 0)) bad("top_k", s.topK, "from 0 (all) up, whole");
  if (!(s.topP > 0 && s.topP <= 1)) bad("top_p", s.topP, "above 0, to 1 (all)");
  if (!(s.minP >= 0 && s.minP <= 1)) bad("min_p", s.minP, "from 0 (all) to 1");
  if (!Number.isSafeInteger(s.seed)) bad("seed", s.seed, "that is whole and below 2^53");
}

function validateStop(stop: readonly string[]): void {
  if (stop.length > limits.stopStrings) {
    refuse(
      "request_bad_stop",
      `There are ${stop.length} stop strings. Give ${limits.stopStrings} at most.`,
    );
  }
  for (const text of stop) {
    const bytes = new TextEncoder().encode(text).length;
    if (bytes >= 1 && bytes <= limits.stopStringBytes) continue;
    refuse(
      "request_bad_stop",
      `A stop string has ${bytes} bytes. Give 1 to ${limits.stopStringBytes} bytes.`,
    );
  }
}
