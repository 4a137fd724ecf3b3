/** Beginnings of tool calls in text that comes in pieces. */

import { CALL_OPEN } from "./tools-prompt.ts";

/** Length of the longest end of `text` that `marker` begins with, without being all of it. */
export function heldBack(text: string, marker: string): number {
  for (let n = Math.min(marker.length - 1, text.length); n > 0; n--) {
    if (text.endsWith(marker.slice(0, n))) return n;
  }
  return 0;
}

/** Whether `text`, the whole output so far, is or may become a call without a marker. */
export function mayBeBareCall(text: string, names: ReadonlySet<string>): boolean {
  const head = /^\s*(?:\{\s*(?:"name"\s*(?::\s*(?:"([^"]*)("?))?)?)?)?/.exec(text);
  const rest = text.slice(head?.[0].length ?? 0);
  const name = head?.[1];
  if (name === undefined) {
    return rest === "" || /^\s*\{\s*$/.test(head?.[0] ?? "") && '"name"'.startsWith(rest);
  }
  if (head?.[2] === "") return rest === "" && [...names].some((known) => known.startsWith(name));
  if (!names.has(name)) return false;
  const between = /^\s*(?:,\s*)?/.exec(rest)?.[0] ?? "";
  const key = rest.slice(between.length);
  if (key === "") return true;
  if (!between.includes(",")) return false;
  return '"arguments"'.startsWith(key) || /^"arguments"\s*(?::\s*(?:\{|$)|$)/.test(key);
}

/** Whether `text`, the whole output so far, may still be white space before a call. */
export function mayBeLeading(text: string): boolean {
  const rest = text.trimStart();
  return CALL_OPEN.startsWith(rest);
}

export interface ParsedCall {
  readonly name: string;
  /** JSON, as the model wrote it where it is an object. */
  readonly arguments: string;
}

/** The call that `text` spells, or undefined where it is anything else. */
export function parseCall(text: string, names: ReadonlySet<string>): ParsedCall | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // the output is text that only resembles a call
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { name, arguments: given, ...others } = value as Record<string, unknown>;
  if (typeof name !== "string" || !names.has(name) || Object.keys(others).length > 0) {
    return undefined;
  }
  if (given !== undefined && (typeof given !== "object" || given === null)) return undefined;
  return { name, arguments: JSON.stringify(given ?? {}) };
}
