/** From --sinks, --window and --unbounded to what a request attends to. */

import { type AttentionWindow, DEFAULT_SINKS } from "../engine/request.ts";

export interface WindowOptions {
  readonly sinks: number | undefined;
  readonly window: number | undefined;
}

/**
 * The window that was asked for, completed so that sinks, window and the new token fill the context;
 * undefined when none was asked for.
 */
export function askedWindow(
  { sinks, window }: WindowOptions,
  contextTokens: number,
): AttentionWindow | undefined {
  if (sinks === undefined && window === undefined) return undefined;
  const kept = sinks ?? Math.min(DEFAULT_SINKS, Math.max(0, contextTokens - 1 - (window ?? 0)));
  return { sinks: kept, window: window ?? Math.max(1, contextTokens - 1 - kept) };
}

/** The whole context, as sinks and a window: what lets a generation run past the context's end. */
export function widestWindow(contextTokens: number): AttentionWindow {
  const sinks = Math.min(DEFAULT_SINKS, contextTokens - 2);
  return { sinks, window: contextTokens - 1 - sinks };
}
