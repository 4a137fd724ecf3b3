/** From the fields of a request to what the engine is asked for. */

import { limits } from "../../limits.ts";
import type { Dry, GenerateRequest, Penalties, Sampling } from "../../engine/request.ts";
import { badRequest, contextLengthError, modelNotFound } from "../errors.ts";
import type { Services, TextService } from "../services.ts";
import type { CommonFields } from "./fields.ts";
import { type Length, lengthFor, type MaxTokens, type WindowSettings } from "./length.ts";
import type { MostTokens } from "./plain-answer.ts";

/** What all choices of a request have in common. */
export interface CommonRequest {
  readonly fields: CommonFields;
  readonly maxTokens: MaxTokens;
  readonly mostTokens: MostTokens;
  readonly sampling: Omit<Sampling, "seed">;
  readonly seed: number;
  /** See GenerateRequest.logprobs. */
  readonly logprobs: number | undefined;
  readonly grammar: number | undefined;
  readonly cacheSalt: string;
  readonly window: WindowSettings;
}

/** @throws ApiError 404 unless the request names the served model, or none */
export function checkModel(name: string | null | undefined, served: string): void {
  if (name === undefined || name === null || name === served) return;
  throw modelNotFound(name, served);
}

/** @throws ApiError 400 for a combination of fields that means nothing */
export function checkStream(fields: CommonFields): void {
  if (!fields.stream_options || fields.stream) return;
  throw badRequest("stream_options goes with `stream: true` only.", "stream_options");
}

export async function samplingFor(
  fields: CommonFields,
  { model, engine, text }: Services,
): Promise<Omit<Sampling, "seed">> {
  const penalties = await penaltiesFor(fields, text);
  const logitBias = biasFor(fields.logit_bias ?? {}, engine.vocabulary);
  return {
    temperature: fields.temperature ?? model.temperature,
    topK: Math.max(0, fields.top_k ?? 0),
    topP: fields.top_p ?? 1,
    minP: fields.min_p ?? 0,
    ...(fields.typical_p ? { typicalP: fields.typical_p } : {}),
    ...(penalties ? { penalties } : {}),
    ...(logitBias.size > 0 ? { logitBias } : {}),
  };
}

async function penaltiesFor(
  fields: CommonFields,
  text: TextService | undefined,
): Promise<Penalties | undefined> {
  const repetition = fields.repetition_penalty ?? 1;
  const frequency = fields.frequency_penalty ?? 0;
  const presence = fields.presence_penalty ?? 0;
  const dry = await dryFor(fields, text);
  if (repetition === 1 && frequency === 0 && presence === 0 && !dry) return undefined;
  const last = fields.penalty_last_n ?? -1;
  const lastTokens = last === -1 ? limits.penaltyTokens : last;
  return { repetition, frequency, presence, lastTokens, ...(dry ? { dry } : {}) };
}

/** A breaker of several tokens is known by its last one. */
async function dryFor(
  fields: CommonFields,
  text: TextService | undefined,
): Promise<Dry | undefined> {
  const multiplier = fields.dry_multiplier ?? 0;
  if (multiplier === 0) return undefined;
  const breakers = new Set<number>();
  for (const breaker of fields.dry_sequence_breakers ?? ["\n", ":", '"', "*"]) {
    const last = (await text?.encode(breaker, { bos: false }))?.at(-1);
    if (last !== undefined) breakers.add(last);
  }
  return {
    multiplier,
    base: fields.dry_base ?? 1.75,
    allowedLength: fields.dry_allowed_length ?? 2,
    breakers,
  };
}

function biasFor(given: Record<string, number>, vocabulary: number): Map<number, number> {
  const entries = Object.entries(given);
  if (entries.length > limits.logitBias) {
    throw badRequest(
      `logit_bias has ${entries.length} entries. Give ${limits.logitBias} at most.`,
      "logit_bias",
      "invalid_value",
    );
  }
  const bad = entries.map(([key]) => key).filter((key) =>
    !/^\d{1,9}$/.test(key) || Number(key) >= vocabulary
  );
  if (bad.length > 0) {
    const shown = bad.slice(0, 10).map((key) => JSON.stringify(key.slice(0, 20))).join(", ");
    throw badRequest(
      `logit_bias has ${bad.length} keys that are no token ids below ${vocabulary}: ${shown}` +
        (bad.length > 10 ? " and others." : "."),
      "logit_bias",
      "invalid_value",
    );
  }
  return new Map(entries.map(([key, bias]) => [Number(key), bias]));
}

/** @throws ApiError 400 naming the first id that is none */
export function checkTokenIds(ids: readonly number[], vocabulary: number, param: string): void {
  const at = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary));
  if (at < 0) return;
  throw badRequest(
    `Token ${ids[at]} at position ${at} of ${param} is not in the vocabulary: ids are whole ` +
      `numbers from 0 to ${vocabulary - 1}.`,
    param,
    "invalid_value",
  );
}

/**
 * The request of choice `choice` of a prompt.
 * @param param the field that holds the prompt
 * @throws ApiError 400 for a prompt that is empty or too long
 */
export function generateRequest(
  common: CommonRequest,
  tokens: readonly number[],
  choice: number,
  { engine }: Services,
  param: string,
): GenerateRequest {
  const { fields, maxTokens, window, mostTokens } = common;
  if (tokens.length === 0) throw badRequest("The prompt is empty.", param, "invalid_value");
  const { contextTokens } = engine;
  const length = lengthFor(fields, maxTokens, tokens.length, contextTokens, window, mostTokens);
  if (!length.attention && tokens.length >= contextTokens) {
    throw contextLengthError(tokens.length, contextTokens, param);
  }
  return {
    kind: "generate",
    tokens,
    ...length,
    ...endFields(fields, length, engine.vocabulary),
    sampling: { ...common.sampling, seed: seedOf(common.seed, choice) },
    ...(common.logprobs === undefined ? {} : { logprobs: common.logprobs }),
    ...(common.grammar === undefined ? {} : { grammar: common.grammar }),
    cacheSalt: common.cacheSalt,
  };
}

function endFields(fields: CommonFields, { maxTokens }: Length, vocabulary: number) {
  const { stop, stop_token_ids: stopTokens, min_tokens: minTokens } = fields;
  if (stopTokens) checkTokenIds(stopTokens, vocabulary, "stop_token_ids");
  if (minTokens && minTokens > (maxTokens ?? Infinity)) {
    throw badRequest(
      `min_tokens is ${minTokens}, and ${maxTokens} tokens may be generated.`,
      "min_tokens",
      "invalid_value",
    );
  }
  return {
    ...(stop ? { stop: typeof stop === "string" ? [stop] : stop } : {}),
    ...(stopTokens ? { stopTokens } : {}),
    ...(minTokens ? { minTokens } : {}),
    ...(fields.stop_on_loop ? { stopOnLoop: true } : {}),
    ...(fields.ignore_eos ? { ignoreEos: true } : {}),
  };
}

/** Seeds stay exact integers: near the end of their range they count down. */
function seedOf(seed: number, choice: number): number {
  return seed <= limits.seed - choice ? seed + choice : seed - choice;
}
