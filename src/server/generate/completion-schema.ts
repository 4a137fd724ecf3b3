/** The body of POST /v1/completions. */

import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { commonFields } from "./fields.ts";

const text = z.string().max(limits.promptBytes);
/** Which ids there are is checked by completion-prompt.ts, which names the one that is wrong. */
const tokens = z.array(z.number()).max(limits.contextTokens);

export const completionSchema = z.object({
  ...commonFields,
  prompt: z.union([
    text,
    tokens,
    z.array(text).max(limits.prompts),
    z.array(tokens).max(limits.prompts),
  ]),
  best_of: z.int().min(1).max(limits.choices).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(limits.answerLogprobs).nullish(),
  suffix: z.string().nullish().describe("Not supported"),
}).openapi("CompletionRequest");

export type CompletionBody = z.infer<typeof completionSchema>;
export type PromptBody = CompletionBody["prompt"];
