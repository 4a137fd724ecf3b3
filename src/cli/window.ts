/** From --sinks, --window and --unbounded to what a request attends to. */

import { ArcticError } from "../errors.ts";
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

/**
 * Whether the window that a server is given fits the model that it serves.
 * @throws ArcticError `usage_wrong` naming the flags
 */
export function checkWindow({ sinks, window }: WindowOptions, contextTokens: number): void {
  const most = contextTokens - 1;
  if ((sinks ?? 0) + (window ?? 1) <= most) return;
  const flags = [
    ...(sinks === undefined ? [] : [`--sinks ${sinks}`]),
    ...(window === undefined ? [] : [`--window ${window}`]),
  ];
  throw new ArcticError(
    "usage_wrong",
    `${flags.join(" and ")} ${
      flags.length > 1 ? "do" : "does"
    } not fit the model: sinks and window ` +
      `together may be at most ${most} tokens, the window at least 1 of them.`,
  );
}

/** The whole context, as sinks and a window: what lets a generation run past the context's end. */
export function widestWindow(contextTokens: number): AttentionWindow {
  const sinks = Math.min(DEFAULT_SINKS, contextTokens - 2);
  return { sinks, window: contextTokens - 1 - sinks };
}
