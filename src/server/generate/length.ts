/** How long an output may become, and what of its past it attends to. */

import { limits } from "../../limits.ts";
import { type AttentionWindow, DEFAULT_SINKS, type GenerateRequest } from "../../engine/request.ts";
import { badRequest } from "../errors.ts";
import type { ServerSettings } from "../settings.ts";
import type { CommonFields } from "./fields.ts";

export type Length = Pick<GenerateRequest, "maxTokens" | "attention">;
/** The server's own window: for outputs that name none, and the largest that may be named. */
export type WindowSettings = Pick<ServerSettings, "sinks" | "window">;

/**
 * `max_tokens: -1` is an output until something stops it, which takes a window: the widest unless one
 * is given. Without a window the context bounds the output; a window lifts that bound from what
 * max_tokens asks for, and where it asks for nothing the output ends where the context would. An answer
 * that is not streamed has limits.plainAnswerTokens at most.
 * @throws ApiError 400 for a window that does not fit
 */
export function lengthFor(
  fields: Pick<CommonFields, "sinks" | "window" | "stream">,
  maxTokens: number | null | undefined,
  promptTokens: number,
  contextTokens: number,
  settings: WindowSettings,
): Length {
  const { sinks, window } = fields;
  const hasWindow = typeof sinks === "number" || typeof window === "number";
  const room = Math.max(1, contextTokens - promptTokens);
  if (maxTokens !== -1 && !hasWindow) {
    return { maxTokens: Math.min(maxTokens ?? room, room) };
  }
  const attention = windowFor(fields, contextTokens, settings);
  const most = maxTokens === -1 ? Infinity : maxTokens ?? room;
  const bounded = fields.stream ? most : Math.min(most, limits.plainAnswerTokens);
  return bounded === Infinity ? { attention } : { attention, maxTokens: bounded };
}

function windowFor(
  fields: Pick<CommonFields, "sinks" | "window">,
  contextTokens: number,
  settings: WindowSettings,
): AttentionWindow {
  const most = settings.window === undefined
    ? contextTokens - 1
    : settings.window + (settings.sinks ?? DEFAULT_SINKS);
  const asked = fields.window ?? settings.window ?? 1;
  const sinks = fields.sinks ?? settings.sinks ??
    Math.max(0, Math.min(DEFAULT_SINKS, most - asked));
  const window = fields.window ?? settings.window ?? most - sinks;
  if (window >= 1 && sinks + window <= most) return { sinks, window };
  throw badRequest(
    `${sinks} sinks and a window of ${window} tokens are more than this server has: the window is ` +
      `at least 1, and together they may be at most ${most}.`,
    typeof fields.window === "number" ? "window" : "sinks",
    "invalid_value",
  );
}
