/** Fields that chat and text completions have in common. What no field names is ignored. */

import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";

const probability = z.number().gt(0).max(1).nullish();
const stopText = z.string().min(1).max(limits.stopStringBytes);
const tokenId = z.int().min(0);

/** How a token is chosen. */
const samplingFields = {
  temperature: z.number().min(0).max(limits.temperature).nullish(),
  top_p: probability,
  top_k: z.int().min(-1).nullish().describe("Likeliest tokens kept; 0 or -1 keeps all"),
  min_p: z.number().min(0).max(1).nullish(),
  typical_p: probability,
  seed: z.int().nullish().describe("Choice i of a prompt uses seed + i"),
  logit_bias: z.record(z.string(), z.number().min(-limits.bias).max(limits.bias)).nullish()
    .describe("Added to the logits of token ids"),
};

/** What makes tokens less likely that were there before. */
const penaltyFields = {
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().gt(0).max(limits.penalty).nullish().describe("1 is none"),
  penalty_last_n: z.int().min(-1).max(limits.penaltyTokens).nullish()
    .describe(`Tokens that penalties look back at; -1 for ${limits.penaltyTokens}`),
  dry_multiplier: z.number().min(0).max(limits.penalty).nullish().describe("0 is off"),
  dry_base: z.number().min(1).max(limits.penalty).nullish(),
  dry_allowed_length: z.int().min(1).max(limits.penaltyTokens).nullish(),
  dry_sequence_breakers: z.array(stopText).max(limits.dryBreakers).nullish(),
};

/** When an output ends, and what of its past it attends to. */
const lengthFields = {
  max_tokens: z.int().min(-1).nullish()
    .describe("-1: until stopped. More than the context has room for is cut to it"),
  min_tokens: z.int().min(0).nullish(),
  stop: z.union([stopText, z.array(stopText).max(limits.stopStrings)]).nullish(),
  stop_token_ids: z.array(tokenId).max(limits.stopTokens).nullish(),
  ignore_eos: z.boolean().nullish(),
  stop_on_loop: z.boolean().nullish()
    .describe("End when the output repeats itself, but not before min_tokens"),
  sinks: z.int().min(0).nullish().describe("First tokens that stay visible for ever"),
  window: z.int().min(1).nullish().describe("Last tokens that are visible"),
};

const streamFields = {
  stream: z.boolean().nullish(),
  stream_options: z.object({
    include_usage: z.boolean().nullish(),
    include_obfuscation: z.boolean().nullish(),
  }).nullish(),
};

const responseFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({
    type: z.literal("json_object"),
    schema: z.record(z.string(), z.unknown()).nullish().describe("As in json_schema"),
  }),
  z.object({
    type: z.literal("json_schema"),
    json_schema: z.object({
      name: z.string().max(limits.nameCharacters).nullish(),
      description: z.string().max(limits.promptBytes).nullish(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(),
    }),
  }),
]);

export const commonFields = {
  model: z.string().nullish(),
  ...samplingFields,
  ...penaltyFields,
  ...lengthFields,
  ...streamFields,
  n: z.int().min(1).max(limits.choices).nullish(),
  grammar: z.string().min(1).max(limits.grammarBytes).nullish()
    .describe("EBNF whose start is `root`: the whole output is of its language"),
  response_format: responseFormat.nullish(),
  json_schema: z.record(z.string(), z.unknown()).nullish()
    .describe("The whole output is JSON that this schema admits"),
  cache_salt: z.string().max(limits.cacheSaltCharacters).nullish()
    .describe("Only requests of one salt share cached prefixes"),
};

const commonSchema = z.object(commonFields);

export type CommonFields = z.infer<typeof commonSchema>;
