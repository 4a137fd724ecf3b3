/** What was thrown while a request was answered: told to its client, and to the log what it may know. */

import { createMiddleware } from "hono/factory";
import { HTTPException } from "hono/http-exception";
import type { Context } from "hono";
import { AssertionError } from "../assert.ts";
import { ArcticError } from "../errors.ts";
import type { Env } from "./env.ts";
import { ApiError, type ErrorContext, errorResponse, toApiError } from "./errors.ts";
import type { Log } from "./log.ts";

/** Refusals by Hono and its validators: escapes or a Content-Type that are malformed. */
function fromHono(error: HTTPException): ApiError | undefined {
  if (error.status === 415) return new ApiError(415, "The Content-Type is malformed.");
  if (error.status !== 400) return undefined;
  return new ApiError(400, "The request is malformed.", { cause: error });
}

/** Hono hands only Errors to `onError`: of anything else that is thrown, one is made. */
export function onlyErrors() {
  return createMiddleware<Env>(async (_, next) => {
    try {
      await next();
    } catch (thrown) {
      if (thrown instanceof Error) throw thrown;
      throw new AssertionError(`Internal error in arctic: a ${typeof thrown} was thrown.`);
    }
  });
}

/** For `app.onError`. */
export function answerFailure(error: Error, c: Context<Env>): Response {
  const known = error instanceof HTTPException ? fromHono(error) : undefined;
  return errorResponse(known ?? explainFailure(error, c.var.log, { requestId: c.var.requestId }));
}

/** The failure as it can be shown; those that are the server's own are logged first. */
export function explainFailure(error: unknown, log: Log, context: ErrorContext): ApiError {
  const shown = toApiError(error, context);
  if (shown.status >= 500 && error !== shown) log.error(describe(error), "request failed");
  return shown;
}

/**
 * What the log says of an error. Messages that are not arctic's own may quote a prompt: of such an
 * error only its name and where it was thrown are told.
 */
export function describe(error: unknown): Record<string, unknown> {
  if (error instanceof ArcticError) {
    const cause = error.cause === undefined ? undefined : describe(error.cause);
    return { code: error.code, message: error.message, cause };
  }
  if (!(error instanceof Error)) return { error: typeof error };
  const message = error instanceof AssertionError ? error.message : undefined;
  return { error: error.name, message, stack: frames(error) };
}

/** The lines of a stack that name places in the program. */
function frames(error: Error): string[] {
  const lines = (error.stack ?? "").split("\n").map((line) => line.trim());
  return lines.filter((line) => /^at .*:\d+(:\d+)?\)?$/.test(line));
}
