/** Streams that are taken up again: by the request that began them, or at their own address. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { limits } from "../../limits.ts";
import type { Env } from "../env.ts";
import { badRequest } from "../errors.ts";
import { refuseHead } from "../routing.ts";
import { errorAnswer } from "../schema.ts";
import { parseEventId } from "./durable-streams.ts";
import { streamResponse } from "./respond.ts";
import type { Routes } from "./shared.ts";

const HEADER = "Last-Event-ID";

const route = createRoute({
  ...{ method: "get", path: "/v1/streams/{id}", tags: ["generation"] },
  summary: "The rest of a stream whose connection was lost",
  description: "Of the stream whose objects have that `id`, what comes after the event that the " +
    "header Last-Event-ID names; without the header, everything. Whoever read the stream before " +
    "gets an error event. HEAD is refused.",
  request: { params: z.object({ id: z.string().max(limits.nameCharacters) }) },
  responses: {
    200: {
      description: "The events.",
      content: {
        "text/event-stream": { schema: z.string() },
        "application/msgpack": { schema: z.string() },
      },
    },
    204: { description: "The stream has ended with the event that Last-Event-ID names." },
    400: { ...errorAnswer, description: "Last-Event-ID is no id, or one of another stream." },
    404: {
      ...errorAnswer,
      description:
        "There is no such stream, or the events asked for are no longer kept: then the " +
        "message says which Last-Event-ID gives the oldest that are.",
    },
  },
});

export function addStreamRoute(app: OpenAPIHono<Env>, routes: Routes): void {
  app.openapi(route, (c) => {
    refuseHead(c);
    const { id } = c.req.valid("param");
    const event = lastEvent(c);
    if (event && event.id !== id) {
      throw badRequest("Last-Event-ID names an event of another stream than the path.", HEADER);
    }
    return resume(c, routes, id, event?.number ?? 0);
  });
}

/**
 * The rest of the stream that a Last-Event-ID header names; undefined without one.
 * @throws ApiError 400 for a malformed id, 404 for a stream or events that are not there
 */
export function answerResumed(c: Context<Env>, routes: Routes): Response | undefined {
  const event = lastEvent(c);
  return event && resume(c, routes, event.id, event.number);
}

function lastEvent(c: Context<Env>): { id: string; number: number } | undefined {
  const header = c.req.header(HEADER);
  if (header === undefined || header === "") return undefined;
  const event = parseEventId(header);
  if (!event) throw badRequest("Last-Event-ID is no id of an event.", HEADER);
  return event;
}

/** The events of stream `id` after event `after`. */
function resume(c: Context<Env>, routes: Routes, id: string, after: number): Response {
  const source = routes.streams.resume(id, after, c.var.keyIdentity);
  // 204 is what tells an EventSource that there is nothing to come back for.
  return source ? streamResponse(c, routes, source) : c.body(null, 204);
}
