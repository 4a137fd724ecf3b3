/** A run as an HTTP answer: whole or streamed, in JSON or MessagePack. */

import type { Context } from "hono";
import { limits } from "../../limits.ts";
import type { Env } from "../env.ts";
import { badRequest, errorObject } from "../errors.ts";
import { explainFailure } from "../failure.ts";
import { byteStream } from "./byte-stream.ts";
import { parseEventId } from "./durable.ts";
import { MSGPACK, msgpackEncoder, packed, wantsMsgpack } from "./msgpack.ts";
import type { Run } from "./run.ts";
import type { Routes } from "./shared.ts";
import { sseEncoder } from "./sse.ts";
import type { StreamItem } from "./stream-item.ts";
import { directSource, type StreamSource } from "./stream-source.ts";

/** Ends `run` when the client is gone. */
export function followClient(c: Context<Env>, run: Run): void {
  const { signal } = c.req.raw;
  if (signal.aborted) run.cancel();
  else signal.addEventListener("abort", () => run.cancel(), { once: true });
}

export function answerWhole(c: Context<Env>, answer: object): Response {
  if (!wantsMsgpack(c.req.header("accept"))) return c.json(answer);
  return c.body(packed(answer), 200, { "content-type": MSGPACK });
}

/**
 * Answers with the stream of `items`, once it is known that it begins.
 * @param id under which its events are numbered, where they can be asked for again
 * @throws ArcticError what the engine refuses or fails at before the first token
 */
export async function answerStream(
  c: Context<Env>,
  routes: Routes,
  id: string,
  run: Run,
  items: AsyncGenerator<StreamItem, void, undefined>,
): Promise<Response> {
  const seconds = routes.settings.resumeSeconds ?? 0;
  if (seconds === 0) followClient(c, run);
  await run.head(limits.streamHeadMs);
  run.whenOver(c.var.access.defer());
  const told = explained(c, items);
  const cancel = () => run.cancel();
  const durable = seconds === 0 ? undefined : routes.streams.open(c.var.keyIdentity, {
    ...{ id, items: told, cancel },
    events: limits.resumeEvents,
    waitMs: seconds * 1_000,
  });
  return streamResponse(c, routes, durable ?? directSource(told, cancel));
}

/** A failure in the midst of a stream is its last item. */
async function* explained(
  c: Context<Env>,
  items: AsyncGenerator<StreamItem, void, undefined>,
): AsyncGenerator<StreamItem, void, undefined> {
  try {
    yield* items;
  } catch (error) {
    const { log, requestId } = c.var;
    yield { type: "error", error: errorObject(explainFailure(error, log, { requestId })) };
  }
}

function streamResponse(c: Context<Env>, routes: Routes, source: StreamSource): Response {
  c.env?.holdOpen?.();
  const encoder = wantsMsgpack(c.req.header("accept")) ? msgpackEncoder : sseEncoder;
  const body = byteStream(source, encoder, c.req.raw.signal, routes.timing);
  return c.body(body, 200, {
    "content-type": encoder.contentType,
    "cache-control": "no-cache, no-store",
    "x-accel-buffering": "no",
  });
}

/**
 * The rest of the stream that a Last-Event-ID header names; undefined without one.
 * @throws ApiError 400 for a malformed id, 404 for a stream that is not there
 */
export function answerResumed(c: Context<Env>, routes: Routes): Response | undefined {
  const header = c.req.header("last-event-id");
  if (header === undefined || header === "") return undefined;
  const event = parseEventId(header);
  if (!event) throw badRequest("Last-Event-ID is no id of an event.", "Last-Event-ID");
  return resume(c, routes, event.id, event.number);
}

/** The events of stream `id` after event `after`. */
export function resume(c: Context<Env>, routes: Routes, id: string, after: number): Response {
  return streamResponse(c, routes, routes.streams.resume(id, after, c.var.keyIdentity));
}
