/** The whole answer of a model that writes SQL. */

import type { EndEvent } from "../engine/events.ts";
import { ArcticError, errorCode } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Sampling, TokenConstraint } from "../engine/request.ts";
import type { OpenModel } from "./open-engine.ts";

export const greedy: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

export interface CompletionOptions {
  readonly sampling?: Sampling;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  readonly constraint?: TokenConstraint | undefined;
  /** Only requests of the same salt find each other's prompts in the cache. */
  readonly cacheSalt?: string;
}

/** @throws ArcticError `usage_no_tokenizer` */
export function needTokenizer({ tokenizer }: OpenModel): NonNullable<OpenModel["tokenizer"]> {
  if (tokenizer !== undefined) return tokenizer;
  throw new ArcticError(
    "usage_no_tokenizer",
    "This model has no tokenizer, so it cannot be asked in words: give a model that has one.",
  );
}

/**
 * @returns the text without white space around it, and the request's end
 * @throws ArcticError as engine.submit; the signal's reason when it was aborted
 */
export async function complete(
  { engine }: OpenModel,
  tokens: readonly number[],
  signal: AbortSignal,
  options: CompletionOptions = {},
): Promise<{ readonly text: string; readonly end: EndEvent }> {
  const { sampling = greedy, maxTokens = limits.sqlTokens, stop = [] } = options;
  const { constraint, cacheSalt } = options;
  let text = "";
  const request = {
    kind: "generate",
    tokens,
    sampling,
    maxTokens,
    stop,
    ...(constraint && { constraint }),
    ...(cacheSalt !== undefined && { cacheSalt }),
  } as const;
  for await (const event of engine.submit(request, signal)) {
    if (event.type === "token" || event.type === "end") text += event.text;
    if (event.type !== "end") continue;
    if (event.finishReason === "cancelled") signal.throwIfAborted();
    return { text: text.trim(), end: event };
  }
  throw new ArcticError("engine_ended", "The engine ended the request without a result.");
}

/** How a query is drawn again: from the likely tokens, not the likeliest alone. */
const redraw: Omit<Sampling, "seed"> = { temperature: 0.7, topK: 0, topP: 1, minP: 0.02 };

/**
 * A query under a constraint. Where greedy choice has led into a dead end, or to no end, others are
 * drawn; without one that ends it is the answer that the model gives without a constraint.
 *
 * @param constrain makes a constraint for one answer; null for none at all
 */
export async function completeGuided(
  opened: OpenModel,
  tokens: readonly number[],
  signal: AbortSignal,
  options: CompletionOptions,
  constrain: (() => TokenConstraint) | null,
): ReturnType<typeof complete> {
  if (constrain === null) return await complete(opened, tokens, signal, options);
  const { sampling = greedy } = options;
  for (let draw = 0; draw <= limits.sqlDraws; draw++) {
    const drawn = draw === 0 ? sampling : { ...redraw, seed: sampling.seed + draw };
    try {
      const constrained = { ...options, sampling: drawn, constraint: constrain() };
      const answer = await complete(opened, tokens, signal, constrained);
      if (answer.end.finishReason === "stop") return answer;
    } catch (error) {
      if (errorCode(error) !== "engine_nothing_admitted") throw error;
    }
  }
  return await complete(opened, tokens, signal, options);
}
