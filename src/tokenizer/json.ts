/** Narrowing of untrusted JSON: every helper names the place it was reading when it refuses. */

import { ArcticError } from "../errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error for a tokenizer file that cannot be used as it is. */
export function invalid(where: string, problem: string): ArcticError {
  return new ArcticError(
    "tokenizer_config_invalid",
    `${where} ${problem}. Restore the file from the model's own repository.`,
  );
}

/** The error for a tokenizer that is well formed but asks for something arctic does not do. */
export function unsupported(what: string, instead: string): ArcticError {
  return new ArcticError("tokenizer_unsupported", `${what} is not supported. ${instead}`);
}

/**
 * Parses a UTF-8 JSON file whose outermost value is an object.
 * @throws tokenizer_too_large, tokenizer_config_invalid
 */
export function parseJsonObject(bytes: Uint8Array, where: string, maxBytes: number): JsonObject {
  if (bytes.byteLength > maxBytes) {
    throw new ArcticError(
      "tokenizer_too_large",
      `${where} has ${bytes.byteLength} bytes and at most ${maxBytes} are read. ` +
        `Check that it is the file its name says.`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ArcticError(
      "tokenizer_config_invalid",
      `${where} is not UTF-8 JSON. Restore the file from the model's own repository.`,
      { cause },
    );
  }
  if (!isObject(value)) throw invalid(where, "must hold a JSON object");
  return value;
}

export function objectAt(parent: JsonObject, key: string, where: string): JsonObject {
  const value = parent[key];
  if (!isObject(value)) throw invalid(where, `needs an object "${key}"`);
  return value;
}

export function booleanAt(
  parent: JsonObject,
  key: string,
  fallback: boolean,
  where: string,
): boolean {
  const value = parent[key];
  if (value === undefined || value === null) return fallback;
  if (typeof value !== "boolean") throw invalid(where, `needs true or false at "${key}"`);
  return value;
}

export function stringAt(parent: JsonObject, key: string, where: string): string {
  const value = parent[key];
  if (typeof value !== "string") throw invalid(where, `needs a string at "${key}"`);
  return value;
}
