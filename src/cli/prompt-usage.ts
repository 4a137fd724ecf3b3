/** What a generation took: for the JSON document, and as a line for people. */

import type { EndEvent } from "../engine/events.ts";
import { perSecond } from "./units.ts";

export function usageAndTimings({ usage, timings }: Pick<EndEvent, "usage" | "timings">) {
  const { promptTokens, completionTokens } = usage;
  return {
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
    timings: {
      prefill_ms: timings.prefillMs,
      decode_ms: timings.decodeMs,
      prefill_tokens_per_second: timings.prefillTokensPerSecond,
      decode_tokens_per_second: timings.decodeTokensPerSecond,
    },
  };
}

/** @param seed where random numbers were drawn */
export function summary(
  { usage, timings, finishReason }: Pick<EndEvent, "usage" | "timings" | "finishReason">,
  seed: number | undefined,
): string {
  const prompt = `prompt ${usage.promptTokens} tokens, ${
    perSecond(timings.prefillTokensPerSecond)
  }`;
  const rate = timings.decodeTokensPerSecond;
  const decode = `generated ${usage.completionTokens} tokens` +
    (rate > 0 ? `, ${perSecond(rate)}` : "") +
    (finishReason === "loop" ? ", ended because they repeat themselves" : "");
  return `${prompt}; ${decode}${seed === undefined ? "" : `; seed ${seed}`}`;
}
