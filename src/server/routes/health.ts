/** Probes: is the process good for anything, and should it be sent requests. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Env } from "../env.ts";
import { notReady } from "../errors.ts";
import { errorAnswer } from "../schema.ts";

export type ServerState = "loading" | "ready" | "draining" | "down";

const ok = {
  description: "It is.",
  content: { "application/json": { schema: z.object({ status: z.literal("ok") }) } },
};

const sentences: Readonly<Record<Exclude<ServerState, "ready">, string>> = {
  loading: "The model is loading. Try again in a moment.",
  draining: "The server is shutting down. Ask another one.",
  down: "The engine is not running. The server's log says why.",
};

/** @throws ApiError 503 unless the state is among `good` */
function check(state: ServerState, good: readonly ServerState[]): void {
  if (state !== "ready" && !good.includes(state)) throw notReady(sentences[state]);
}

export function addHealthRoutes(app: OpenAPIHono<Env>, state: () => ServerState): void {
  const route = (path: string, summary: string) =>
    createRoute({
      ...{ method: "get", path, summary, security: [], tags: ["server"] },
      responses: { 200: ok, 503: errorAnswer },
    });
  app.openapi(route("/health", "Does the engine live?"), (c) => {
    check(state(), ["draining"]);
    return c.json({ status: "ok" as const }, 200);
  });
  app.openapi(route("/ready", "Can it be sent requests?"), (c) => {
    check(state(), []);
    return c.json({ status: "ok" as const }, 200);
  });
}
