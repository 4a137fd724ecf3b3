/** What the server says about itself: version, metrics, and its own description. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Env } from "../env.ts";
import type { Metrics } from "../metrics.ts";
import { jsonAnswer } from "../schema.ts";

const versionRoute = createRoute({
  ...{ method: "get", path: "/version", summary: "Version of arctic", tags: ["server"] },
  responses: { 200: jsonAnswer("The version.", z.object({ version: z.string() })) },
});

const metricsRoute = createRoute({
  ...{ method: "get", path: "/metrics", summary: "Prometheus metrics", tags: ["server"] },
  responses: {
    200: {
      description: "In Prometheus' text format.",
      content: { "text/plain": { schema: z.string() } },
    },
  },
});

export function addAboutRoutes(app: OpenAPIHono<Env>, version: string, metrics: Metrics): void {
  app.openapi(versionRoute, (c) => c.json({ version }, 200));
  app.openapi(metricsRoute, async (c) => {
    const text = await metrics.text();
    return c.text(text, 200, { "content-type": metrics.contentType });
  });
}

/** Describes the routes that `app` has when it is asked. */
export function addOpenApi(app: OpenAPIHono<Env>, version: string): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
  });
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "arctic",
      version,
      description: "Snowflake Arctic behind the OpenAI API.",
    },
    security: [{ apiKey: [] }],
  });
}
