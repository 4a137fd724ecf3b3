/** The body of a request: bounded in bytes, in time and in shape before anything is made of it. */

import { createMiddleware } from "hono/factory";
import { limits } from "../limits.ts";
import type { Env } from "./env.ts";
import { ApiError, badRequest, queueFull } from "./errors.ts";
import { jsonExcess } from "./json-scan.ts";
import { linger } from "./linger.ts";
import { nextTurn } from "./next-turn.ts";
import { routeOf } from "./routing.ts";

/** Bytes of bodies that are being read or answered, of all requests together. */
class BodyBudget {
  #bytes = 0;

  /** @throws ApiError 429 when bodies would take more memory than they may together */
  take(bytes: number): void {
    if (this.#bytes + bytes > limits.bodiesBytes) {
      throw queueFull("The server is reading too many large requests. Try again in a moment.");
    }
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export interface BodySettings {
  readonly bodyBytes: number;
  readonly bodyPeriodMs: number;
}

/** Gives routes their JSON, through `c.req.json()`, once it is known to be harmless. */
export function jsonBody(settings: BodySettings) {
  const budget = new BodyBudget();
  return createMiddleware<Env>(async (c, next) => {
    if (c.req.method !== "POST" || routeOf(c) === undefined) return await next();
    checkType(c.req.raw.headers);
    const held = { bytes: 0 };
    const take = (bytes: number) => {
      budget.take(bytes);
      held.bytes += bytes;
    };
    const release = () => {
      budget.give(held.bytes);
      held.bytes = 0;
    };
    try {
      // Bun's own limit would end a slow body that keeps coming; readBody has a limit of its own.
      c.env?.holdOpen?.();
      const bytes = await readBody(c.req.raw, settings, { take, release });
      c.env?.limitIdle?.();
      const value = await parseJson(bytes);
      c.req.json = <T>() => Promise.resolve(value as T);
      await next();
    } finally {
      release();
    }
  });
}

function checkType(headers: Headers): void {
  const type = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new ApiError(415, "The body has to be JSON. Send `Content-Type: application/json`.");
  }
  if (headers.has("content-encoding")) {
    throw new ApiError(415, "Compressed bodies are not taken. Send it without Content-Encoding.");
  }
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `The body is larger than the ${maxBytes} bytes that are taken.`, {
    headers: { connection: "close" },
  });
}

function tooSlow(): ApiError {
  return new ApiError(408, "The body came too slowly.", { headers: { connection: "close" } });
}

/** Told the size of each part before it is kept, and when none of them is any more. */
interface Share {
  take(bytes: number): void;
  release(): void;
}

async function readBody(
  { headers, body }: Request,
  settings: BodySettings,
  share: Share,
): Promise<Uint8Array> {
  const buffer = new GrowingBuffer();
  if (body === null) return buffer.bytes();
  const reader = body.getReader();
  const leave = () => reader.cancel().catch(() => {}); // the connection may already be gone
  let isSlow = false;
  const stopWatching = watchPace(settings.bodyPeriodMs, () => buffer.size, () => {
    isSlow = true;
    void leave();
  });
  try {
    if (Number(headers.get("content-length") ?? 0) > settings.bodyBytes) {
      throw tooLarge(settings.bodyBytes);
    }
    let parts = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      // Tiny parts that are all there already would otherwise keep the event loop from its turn.
      if (++parts % limits.bodyPartsATurn === 0) await nextTurn();
      const size = buffer.size + part.value.length;
      if (size > settings.bodyBytes) throw tooLarge(settings.bodyBytes);
      share.take(part.value.length);
      buffer.add(part.value);
    }
  } catch (error) {
    stopWatching();
    buffer.clear();
    share.release();
    if (error instanceof ApiError) await linger(reader);
    await leave();
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "The body ended before it was complete.", { cause: error });
  } finally {
    stopWatching();
  }
  if (isSlow) throw tooSlow();
  return buffer.bytes();
}

/** Calls `tooSlow` once where a period ends in which `size` has hardly grown. */
function watchPace(periodMs: number, size: () => number, tooSlow: () => void): () => void {
  let before = 0;
  const timer = setInterval(() => {
    const isSlow = size() - before < limits.bodyPeriodBytes;
    before = size();
    if (!isSlow) return;
    clearInterval(timer);
    tooSlow();
  }, periodMs);
  return () => clearInterval(timer);
}

/** However small the parts are, it takes at most twice their bytes. */
class GrowingBuffer {
  #buffer = new Uint8Array(limits.bodyPeriodBytes);
  size = 0;

  add(part: Uint8Array): void {
    const size = this.size + part.length;
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#buffer.length));
      larger.set(this.bytes());
      this.#buffer = larger;
    }
    this.#buffer.set(part, this.size);
    this.size = size;
  }

  clear(): void {
    this.#buffer = new Uint8Array();
    this.size = 0;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.size);
  }
}

async function parseJson(bytes: Uint8Array): Promise<unknown> {
  const turn = async () => {
    if (bytes.length > limits.jsonTurnBytes) await nextTurn();
  };
  const excess = jsonExcess(bytes);
  if (excess !== undefined) throw badRequest(`The JSON of the body ${excess}.`, null);
  let value: unknown;
  try {
    await turn();
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    await turn();
    value = JSON.parse(text);
    await turn();
  } catch (cause) {
    // The parser's own words quote the body, which is nobody else's to read in a log.
    throw new ApiError(400, "The body is not valid JSON in UTF-8.", { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw badRequest("The body has to be a JSON object.", null);
}
