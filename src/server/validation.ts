/** A request that does not fit its schema, as one sentence about the first thing that is wrong. */

import type { Hook } from "@hono/zod-openapi";
import type { ZodError } from "zod";
import type { Env } from "./env.ts";
import { type ApiError, badRequest } from "./errors.ts";

/** `messages[0].content`: how the field is written in a program. */
export function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, "");
}

export function schemaError(error: ZodError): ApiError {
  const [issue] = error.issues;
  const param = fieldName(issue?.path ?? []);
  const what = (issue?.message ?? "Invalid input").replace(/\.?$/, ".");
  return badRequest(
    param === "" ? what : `${param}: ${what}`,
    param === "" ? null : param,
    "invalid_value",
  );
}

/** For OpenAPIHono's `defaultHook`. */
export const refuseInvalid: Hook<unknown, Env, string, unknown> = (result) => {
  if (!result.success) throw schemaError(result.error);
};
