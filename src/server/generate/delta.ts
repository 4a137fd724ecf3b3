/** What a choice adds to its answer, whatever the answer's format. */

import type { EndEvent } from "../../engine/events.ts";
import type { TokenEntry } from "./logprobs.ts";

export type Delta =
  /** Never without both text and entries. */
  | { readonly type: "content"; readonly text: string; readonly logprobs: readonly TokenEntry[] }
  | { readonly type: "call"; readonly call: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly call: number; readonly text: string }
  | { readonly type: "finish"; readonly finish: Finish; readonly logprobs: readonly TokenEntry[] };

export interface Finish {
  readonly finish_reason: "stop" | "length" | "tool_calls";
  /** The stop text or stop token that ended it, or that it repeated itself. */
  readonly stop_reason?: string | number;
}

export function finishOf(end: EndEvent, hasCalls = false): Finish {
  if (end.finishReason === "length") return { finish_reason: "length" };
  const reason = end.finishReason === "loop" ? "loop" : end.matched;
  return {
    finish_reason: hasCalls ? "tool_calls" : "stop",
    ...(reason === undefined ? {} : { stop_reason: reason }),
  };
}
