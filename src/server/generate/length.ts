/** How long an output may become, and what of its past it attends to. */

import { type AttentionWindow, DEFAULT_SINKS, type GenerateRequest } from "../../engine/request.ts";
import { badRequest } from "../errors.ts";
import type { ServerSettings } from "../settings.ts";
import type { CommonFields } from "./fields.ts";
import type { MostTokens } from "./plain-answer.ts";

export type Length = Pick<GenerateRequest, "maxTokens" | "attention">;
/** The server's own window: for outputs that name none, and the largest that may be named. */
export type WindowSettings = Pick<ServerSettings, "sinks" | "window">;
type WindowFields = Pick<CommonFields, "sinks" | "window">;

/** How many tokens a request asks for, in the field that is called `param`. */
export interface MaxTokens {
  readonly param: string;
  readonly value: number | null | undefined;
}

/**
 * `max_tokens: -1` is an output until something stops it, which takes a window: the widest unless one
 * is given. Without a window the context bounds the output; a window lifts that bound from what
 * max_tokens asks for, and where it asks for nothing the output ends where the context would, or after
 * one token where the prompt is longer. An answer that is not streamed ends at its own bound, too.
 * @throws ApiError 400 for a window that does not fit, and for a number beyond the bound of `most`
 */
export function lengthFor(
  fields: WindowFields,
  { param, value }: MaxTokens,
  promptTokens: number,
  contextTokens: number,
  settings: WindowSettings,
  most: MostTokens,
): Length {
  const attention = attentionFor(fields, value, contextTokens, settings);
  const room = Math.max(1, contextTokens - promptTokens);
  const asked = typeof value === "number" && value !== -1
    ? most.check(attention ? value : Math.min(value, room), param, value)
    : Math.min(value === -1 ? Infinity : room, most.tokens);
  return {
    ...(attention && { attention }),
    ...(asked !== Infinity && { maxTokens: asked }),
  };
}

/**
 * What the output attends to; undefined for all of the context.
 * @throws ApiError 400 for a window that does not fit
 */
export function attentionFor(
  fields: WindowFields,
  maxTokens: number | null | undefined,
  contextTokens: number,
  settings: WindowSettings,
): AttentionWindow | undefined {
  const hasWindow = typeof fields.sinks === "number" || typeof fields.window === "number";
  return hasWindow || maxTokens === -1 ? windowFor(fields, contextTokens, settings) : undefined;
}

/** What is not given gives way to what is. */
function windowFor(
  fields: WindowFields,
  contextTokens: number,
  settings: WindowSettings,
): AttentionWindow {
  const ownSinks = settings.sinks ?? DEFAULT_SINKS;
  const most = Math.min(contextTokens - 1, (settings.window ?? Infinity) + ownSinks);
  const sinks = fields.sinks ??
    Math.max(0, Math.min(ownSinks, most - (fields.window ?? settings.window ?? 1)));
  const window = fields.window ?? Math.min(settings.window ?? Infinity, most - sinks);
  if (window >= 1 && sinks + window <= most) return { sinks, window };
  throw badRequest(
    `${tooMuch(fields)} more than this server has: sinks and window together may be at most ` +
      `${most} tokens, the window at least 1 of them.`,
    typeof fields.window === "number" ? "window" : "sinks",
    "invalid_value",
  );
}

function tooMuch({ sinks, window }: WindowFields): string {
  if (typeof window !== "number") return `${sinks} sinks are`;
  if (typeof sinks !== "number") return `A window of ${window} tokens is`;
  return `${sinks} sinks and a window of ${window} tokens are`;
}
