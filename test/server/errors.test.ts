import { describe, expect, test } from "bun:test";
import { ArcticError, type ErrorCode } from "../../src/errors.ts";
import {
  ApiError,
  contextLengthError,
  errorObject,
  errorResponse,
  streamError,
  toApiError,
} from "../../src/server/errors.ts";

const context = { requestId: "req_1" };
const shown = (code: ErrorCode) => toApiError(new ArcticError(code, "A sentence."), context);

describe("an engine's error", () => {
  test.each<[ErrorCode, number, string, string | null, string | undefined, string | undefined]>([
    ["request_bad_token", 400, "invalid_request_error", "invalid_value", undefined, undefined],
    [
      ...["request_context_length", 400, "invalid_request_error"] as const,
      ...["context_length_exceeded", undefined, undefined] as const,
    ],
    ["engine_queue_full", 429, "rate_limit_error", "queue_full", "1", undefined],
    ["engine_numerical_error", 500, "server_error", "numerical_error", undefined, "false"],
    ["device_lost", 503, "server_error", "not_ready", "5", undefined],
    ["engine_closed", 503, "server_error", "not_ready", "5", undefined],
    ["weights_bad_scale", 500, "server_error", "internal_error", undefined, "false"],
  ])("%s", (code, status, type, name, retryAfter, shouldRetry) => {
    const error = shown(code);
    expect(error).toMatchObject({ status, type, code: name });
    expect(error.headers["retry-after"]).toBe(retryAfter);
    expect(error.headers["x-should-retry"]).toBe(shouldRetry);
  });

  test("names the field where its code tells it", () => {
    expect(shown("request_bad_max_tokens").param).toBe("max_tokens");
    expect(shown("request_bad_stop").param).toBe("stop");
  });

  test("about the context tells both numbers where the route knows them", () => {
    const error = toApiError(new ArcticError("request_context_length", "Too long."), {
      ...context,
      ...{ param: "messages", promptTokens: 12, contextTokens: 8 },
    });
    expect(errorObject(error)).toEqual({
      message: expect.stringContaining("12 tokens"),
      type: "invalid_request_error",
      param: "messages",
      code: "context_length_exceeded",
      n_prompt_tokens: 12,
      n_ctx: 8,
    });
    expect(errorObject(contextLengthError(12, 8, "messages"))).toEqual(errorObject(error));
  });
});

test.each<[string, unknown]>([
  ["a TypeError", new TypeError("secret /home/me/model at 0xdeadbeef")],
  ["an error of a disk", new ArcticError("disk_full", "secret /home/me/model")],
  ["a lost device", new ArcticError("device_lost", "secret /home/me/model")],
  ["bad numbers", new ArcticError("engine_numerical_error", "secret /home/me/model")],
  ["a string", "secret"],
  ["nothing", undefined],
])("%s tells a client nothing of its inside", (_, thrown) => {
  const error = toApiError(thrown, context);
  expect(error.status).toBeGreaterThanOrEqual(500);
  const text = JSON.stringify(errorObject(error));
  expect(text).not.toContain("secret");
  expect(text).not.toContain("/home");
  if (error.code === "internal_error") expect(text).toContain("req_1");
});

test("an ApiError is shown as it is", () => {
  const error = new ApiError(404, "Nothing there.");
  expect(toApiError(error, context)).toBe(error);
});

test("all four keys are there, in an answer and in a stream", async () => {
  const error = new ApiError(404, "Nothing there.", { headers: { "x-a": "b" } });
  const wanted = {
    error: { message: "Nothing there.", type: "invalid_request_error", param: null, code: null },
  };
  const answer = errorResponse(error);
  expect(answer.status).toBe(404);
  expect(answer.headers.get("x-a")).toBe("b");
  expect(await answer.json()).toEqual(wanted);
  expect(JSON.parse(streamError(error))).toEqual(wanted);
  expect(streamError(error)).not.toContain("\n");
});
