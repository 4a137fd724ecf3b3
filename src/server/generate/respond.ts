/** A run as an HTTP answer: whole or streamed, in JSON or MessagePack. */

import type { Context } from "hono";
import { limits } from "../../limits.ts";
import type { Env } from "../env.ts";
import { errorObject } from "../errors.ts";
import { explainFailure } from "../failure.ts";
import { byteStream } from "./byte-stream.ts";
import { MSGPACK, msgpackEncoder, packed, wantsMsgpack } from "./msgpack.ts";
import type { Run } from "./run.ts";
import type { Routes } from "./shared.ts";
import { sseEncoder } from "./sse.ts";
import type { StreamItem } from "./stream-item.ts";
import { directSource, type StreamSource } from "./stream-source.ts";

/** Ends `run` when the client is gone, until the result is called. */
export function followClient(c: Context<Env>, run: Run): () => void {
  const { signal } = c.req.raw;
  const cancel = () => run.cancel();
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
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
  const unfollow = followClient(c, run);
  await run.head(limits.streamHeadMs);
  run.whenOver(c.var.access.defer());
  const told = explained(c, items);
  const cancel = () => run.cancel();
  const durable = seconds === 0 ? undefined : routes.streams.open({
    ...{ id, items: told, cancel, choices: run.choices },
    keyIdentity: c.var.keyIdentity,
    waitMs: seconds * 1_000,
  });
  // From here on leaving is the stream's matter.
  if (durable) unfollow();
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

export function streamResponse(
  c: Context<Env>,
  routes: Routes,
  source: StreamSource,
): Response {
  c.env?.holdOpen?.();
  const encoder = wantsMsgpack(c.req.header("accept")) ? msgpackEncoder : sseEncoder;
  const body = byteStream(source, encoder, c.req.raw.signal, routes.timing);
  return c.body(body, 200, {
    "content-type": encoder.contentType,
    "cache-control": "no-cache, no-store",
    "x-accel-buffering": "no",
  });
}
