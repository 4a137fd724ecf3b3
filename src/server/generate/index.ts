/** The routes that generate text. */

import type { OpenAPIHono } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import type { Env } from "../env.ts";
import type { Services } from "../services.ts";
import { type StreamTiming, streamTiming } from "./byte-stream.ts";
import { addChatRoute } from "./chat.ts";
import { addCompletionRoute } from "./completions.ts";
import { DurableStreams } from "./durable-streams.ts";
import { addStreamRoute } from "./resume.ts";
import type { Routes, Shared } from "./shared.ts";

/** @param timing of streams; tests are in a hurry */
export function addGenerationRoutes(
  app: OpenAPIHono<Env>,
  services: Services,
  shared: Shared,
  timing: StreamTiming = streamTiming,
): void {
  const streams = new DurableStreams({
    streams: limits.resumeStreams,
    bytes: limits.resumeBytes,
    givenBytes: limits.resumeGivenBytes,
    aheadBytes: limits.resumeAheadBytes,
  });
  shared.admission.reclaimFrom(streams);
  const routes: Routes = { ...shared, services, timing, streams };
  addChatRoute(app, routes);
  addCompletionRoute(app, routes);
  addStreamRoute(app, routes);
}
