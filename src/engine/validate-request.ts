/** The one place where a request to the engine is checked. */

import type { ModelConfig } from "../../weights-manifest/config.ts";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { AttentionWindow, EngineRequest, Penalties, Sampling } from "./request.ts";

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
  if (request.kind === "score") {
    validateCount("top", request.top, limits.topLogprobs);
    return;
  }
  validateSampling(request.sampling, config.vocabulary);
  validateStop(request.stop ?? []);
  for (const token of request.stopTokens ?? []) {
    validateId("a stop token", token, config.vocabulary);
  }
  validateCount("min_tokens", request.minTokens, request.maxTokens ?? Infinity);
  validateCount("logprobs", request.logprobs, limits.answerLogprobs);
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

function validateSampling(s: Sampling, vocabulary: number): void {
  checkSampling("temperature", s.temperature, 0, limits.temperature);
  if (!(Number.isInteger(s.topK) && s.topK >= 0)) {
    badSampling("top_k", s.topK, "from 0 (all) up, whole");
  }
  if (!(s.topP > 0 && s.topP <= 1)) badSampling("top_p", s.topP, "above 0, to 1 (all)");
  checkSampling("min_p", s.minP, 0, 1);
  const typicalP = s.typicalP ?? 1;
  if (!(typicalP > 0 && typicalP <= 1)) badSampling("typical_p", typicalP, "above 0, to 1 (all)");
  if (!Number.isSafeInteger(s.seed)) badSampling("seed", s.seed, "that is whole and below 2^53");
  if (s.penalties) validatePenalties(s.penalties);
  if (!s.logitBias) return;
  validateCount("The number of biased tokens", s.logitBias.size, limits.logitBias);
  for (const [token, bias] of s.logitBias) {
    validateId("logit_bias", token, vocabulary);
    checkSampling(`The bias of token ${token}`, bias, -limits.bias, limits.bias);
  }
}

function validatePenalties({ repetition, frequency, presence, dry, lastTokens }: Penalties): void {
  if (!(repetition > 0 && repetition <= limits.penalty)) {
    badSampling("repetition_penalty", repetition, `above 0, to ${limits.penalty} (1 is none)`);
  }
  checkSampling("frequency_penalty", frequency, -limits.penalty, limits.penalty);
  checkSampling("presence_penalty", presence, -limits.penalty, limits.penalty);
  validateCount("penalty_last_n", lastTokens, limits.penaltyTokens);
  if (!dry) return;
  checkSampling("dry_multiplier", dry.multiplier, 0, limits.penalty);
  checkSampling("dry_base", dry.base, 1, limits.penalty);
  validateCount("dry_allowed_length", dry.allowedLength, limits.penaltyTokens);
}

function badSampling(name: string, value: number, range: string): never {
  refuse("request_bad_sampling", `${name} is ${value}. Give a number ${range}.`);
}

function checkSampling(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) badSampling(name, value, `from ${least} to ${most}`);
}

function validateCount(name: string, value: number | undefined, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= most)) return;
  refuse("request_bad_count", `${name} is ${value}. Give a whole number from 0 to ${most}.`);
}

function validateId(name: string, token: number, vocabulary: number): void {
  if (Number.isInteger(token) && token >= 0 && token < vocabulary) return;
  refuse(
    "request_bad_token",
    `${token} of ${name} is not in the vocabulary: ids are whole numbers from 0 to ${
      vocabulary - 1
    }.`,
  );
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
