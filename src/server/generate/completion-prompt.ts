/** The prompts of a text completion. */

import type { AttentionWindow } from "../../engine/request.ts";
import { limits } from "../../limits.ts";
import { badRequest, contextLengthError } from "../errors.ts";
import type { Services } from "../services.ts";
import type { CompletionBody, PromptBody } from "./completion-schema.ts";
import { LogprobAligner, type TokenEntry } from "./logprobs.ts";
import { checkTokenIds } from "./request.ts";

export interface Prompt {
  readonly tokens: readonly number[];
  /** Undefined for one given as ids. */
  readonly text: string | undefined;
}

/** A prompt as it stands before each of its choices' text. */
export interface Echo {
  readonly text: string;
  /** Where log-probabilities are wanted. */
  readonly entries: readonly TokenEntry[];
}

type OnePrompt = string | readonly number[];

export function promptCount(prompt: PromptBody): number {
  return promptList(prompt).length;
}

/** @throws ApiError 400 for no prompt, a text without a tokenizer, or an id that is none */
export function encodePrompts(body: CompletionBody, services: Services): Promise<Prompt[]> {
  const prompts = promptList(body.prompt);
  if (prompts.length === 0) throw badRequest("There is no prompt.", "prompt", "invalid_value");
  if (prompts.length > limits.prompts) {
    throw badRequest(`There are ${prompts.length} prompts.`, "prompt", "invalid_value");
  }
  return Promise.all(prompts.map((prompt) => encodePrompt(prompt, services)));
}

function promptList(prompt: PromptBody): readonly OnePrompt[] {
  if (typeof prompt === "string") return [prompt];
  if (prompt.length === 0) return [];
  return isIds(prompt) ? [prompt] : prompt;
}

function isIds(prompt: Exclude<PromptBody, string>): prompt is number[] {
  return typeof prompt[0] === "number";
}

async function encodePrompt(prompt: OnePrompt, { text, engine }: Services): Promise<Prompt> {
  if (typeof prompt !== "string") {
    checkTokenIds(prompt, engine.vocabulary, "prompt");
    return { tokens: prompt, text: undefined };
  }
  if (text) return { tokens: await text.encode(prompt), text: prompt };
  throw badRequest("The model has no tokenizer. Give the prompt as token ids.", "prompt");
}

/**
 * @param top likeliest tokens told with each token of the prompt; undefined for the text alone
 * @throws ApiError 400 for a model without a tokenizer, or a prompt that is too long
 */
export async function echoOf(
  prompt: Prompt,
  top: number | undefined,
  attention: AttentionWindow | undefined,
  { text: service, engine }: Services,
  signal: AbortSignal,
): Promise<Echo> {
  if (!service) throw badRequest("The model has no tokenizer to echo a prompt with.", "echo");
  const text = prompt.text ?? await service.decode(prompt.tokens);
  if (top === undefined) return { text, entries: [] };
  if (prompt.tokens.length > engine.contextTokens && !attention) {
    throw contextLengthError(prompt.tokens.length, engine.contextTokens, "prompt");
  }
  const aligner = new LogprobAligner(service.tokenBytes);
  const [first] = prompt.tokens;
  if (first !== undefined) aligner.push(first, null, []);
  const request = {
    kind: "score",
    tokens: prompt.tokens,
    top,
    ...(attention ? { attention } : {}),
  } as const;
  for await (const event of engine.submit(request, signal)) {
    if (event.type !== "scored-top" || !event.next) continue;
    aligner.push(event.next.token, event.next.logprob, event.top);
  }
  aligner.close();
  return { text, entries: [...aligner.take(text), ...aligner.finish(false)] };
}
