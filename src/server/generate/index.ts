/** The routes that generate text. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import type { Env } from "../env.ts";
import { errorAnswer } from "../schema.ts";
import type { Services } from "../services.ts";
import { type StreamTiming, streamTiming } from "./byte-stream.ts";
import { addChatRoute } from "./chat.ts";
import { addCompletionRoute } from "./completions.ts";
import { DurableStreams } from "./durable.ts";
import { answerResumed, resume } from "./respond.ts";
import type { Routes, Shared } from "./shared.ts";

const streamRoute = createRoute({
  ...{ method: "get", path: "/v1/streams/{id}", tags: ["generation"] },
  summary: "The rest of a stream whose connection was lost",
  request: { params: z.object({ id: z.string().max(limits.nameCharacters) }) },
  responses: {
    200: {
      description: "Its events after Last-Event-ID, or all that are kept.",
      content: { "text/event-stream": { schema: z.string() } },
    },
    ...{ 400: errorAnswer, 404: errorAnswer },
  },
});

/** @param timing of streams; tests are in a hurry */
export function addGenerationRoutes(
  app: OpenAPIHono<Env>,
  services: Services,
  shared: Shared,
  timing: StreamTiming = streamTiming,
): void {
  const streams = new DurableStreams(limits.resumeStreams);
  const routes: Routes = { ...shared, services, timing, streams };
  addChatRoute(app, routes);
  addCompletionRoute(app, routes);
  app.openapi(streamRoute, (c) => {
    const { id } = c.req.valid("param");
    return answerResumed(c, routes) ?? resume(c, routes, id, 0);
  });
}
