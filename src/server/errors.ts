/** Every failure as a client sees it: OpenAI's error object, and the status that goes with it. */

import { ArcticError } from "../errors.ts";

export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 429 | 500 | 503;

export type ErrorType =
  | "invalid_request_error"
  | "permission_error"
  | "rate_limit_error"
  | "server_error";

interface ApiErrorOptions {
  readonly type?: ErrorType;
  readonly code?: string | null;
  /** The field of the request that is at fault. */
  readonly param?: string | null;
  /** Keys that stand beside the usual four. */
  readonly extra?: Readonly<Record<string, number>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** The value of the key `error` in an answer or in an event of a stream: all four keys, always. */
export interface ErrorObject {
  readonly message: string;
  readonly type: ErrorType;
  readonly param: string | null;
  readonly code: string | null;
  readonly [extra: string]: string | number | null;
}

/** A failure whose every part may be shown to the client. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ErrorStatus;
  readonly type: ErrorType;
  readonly code: string | null;
  readonly param: string | null;
  readonly extra: Readonly<Record<string, number>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: ErrorStatus, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.type = options.type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.code = options.code ?? null;
    this.param = options.param ?? null;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }
}

/** Clients try 429 and 5xx again unless told not to: what will fail again says so. */
const DO_NOT_RETRY = { "x-should-retry": "false" };
/** Of a value from the request, in a sentence about it. */
const SHOWN_CHARACTERS = 100;
const RETRY_SOON = { "retry-after": "1" };
const RETRY_LATER = { "retry-after": "5" };

export function badRequest(message: string, param: string | null, code?: string): ApiError {
  return new ApiError(400, message, { param, code: code ?? null });
}

/** @param param the field that holds the prompt: `messages` or `prompt` */
export function contextLengthError(
  promptTokens: number,
  contextTokens: number,
  param: string,
): ApiError {
  return new ApiError(
    400,
    `The prompt has ${promptTokens} tokens, and the model's context has ${contextTokens}, one of ` +
      "which the answer needs at least. Shorten the prompt.",
    {
      code: "context_length_exceeded",
      param,
      extra: { n_prompt_tokens: promptTokens, n_ctx: contextTokens },
    },
  );
}

/** @param model what was asked for, and `served` what there is */
export function modelNotFound(model: string, served: string): ApiError {
  const asked = JSON.stringify(model.slice(0, SHOWN_CHARACTERS));
  return new ApiError(404, `There is no model ${asked} here. This server has ${served}.`, {
    code: "model_not_found",
    param: "model",
  });
}

export function queueFull(message: string): ApiError {
  return new ApiError(429, message, {
    type: "rate_limit_error",
    code: "queue_full",
    headers: RETRY_SOON,
  });
}

export function notReady(message: string): ApiError {
  return new ApiError(503, message, { code: "not_ready", headers: RETRY_LATER });
}

/** What a route knows about a failed request and the engine's error does not say. */
export interface ErrorContext {
  readonly requestId: string;
  /** The field that holds the prompt. */
  readonly param?: string;
  readonly promptTokens?: number;
  readonly contextTokens?: number;
}

const requestParams: Readonly<Record<string, string>> = {
  request_bad_max_tokens: "max_tokens",
  request_bad_stop: "stop",
};

/** Any failure as one that can be shown: what is not known to be harmless becomes a generic text. */
export function toApiError(error: unknown, context: ErrorContext): ApiError {
  if (error instanceof ApiError) return error;
  if (!(error instanceof ArcticError)) return internalError(error, context);
  if (error.code.startsWith("request_")) return requestError(error, context);
  if (error.code === "engine_queue_full") return queueFull(error.message);
  if (error.code === "engine_numerical_error") {
    return new ApiError(
      500,
      "The model computed values that are no numbers, and the request was ended. Other requests " +
        "are not affected.",
      { code: "numerical_error", headers: DO_NOT_RETRY, cause: error },
    );
  }
  if (isUnavailable(error.code)) {
    return new ApiError(503, "The model cannot answer at the moment. Try again later.", {
      code: "not_ready",
      headers: RETRY_LATER,
      cause: error,
    });
  }
  return internalError(error, context);
}

function isUnavailable(code: string): boolean {
  return code.startsWith("device_") || code === "engine_closed" || code === "engine_draining" ||
    code === "engine_lost" || code === "engine_restarting";
}

function requestError(error: ArcticError, context: ErrorContext): ApiError {
  if (error.code === "request_context_length") {
    const { promptTokens, contextTokens, param } = context;
    if (promptTokens !== undefined && contextTokens !== undefined) {
      return contextLengthError(promptTokens, contextTokens, param ?? "prompt");
    }
    return new ApiError(400, error.message, {
      code: "context_length_exceeded",
      param: param ?? null,
      cause: error,
    });
  }
  const param = requestParams[error.code] ?? context.param ?? null;
  return new ApiError(400, error.message, { param, code: "invalid_value", cause: error });
}

function internalError(cause: unknown, { requestId }: ErrorContext): ApiError {
  return new ApiError(
    500,
    `The server failed on this request. Its log says more under the request id ${requestId}.`,
    { code: "internal_error", headers: DO_NOT_RETRY, cause },
  );
}

export function errorObject(error: ApiError): ErrorObject {
  const { message, type, param, code, extra } = error;
  return { message, type, param, code, ...extra };
}

/** The answer to a request that failed before any of its answer was sent. */
export function errorResponse(error: ApiError): Response {
  return Response.json({ error: errorObject(error) }, {
    status: error.status,
    headers: error.headers,
  });
}

/** The data of the last event of a stream whose generation failed. */
export function streamError(error: ApiError): string {
  return JSON.stringify({ error: errorObject(error) });
}
