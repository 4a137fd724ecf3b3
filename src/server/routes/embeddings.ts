/** Clients that ask for embeddings are told plainly that there are none. */

import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Env } from "../env.ts";
import { ApiError } from "../errors.ts";
import { errorAnswer } from "../schema.ts";

const embeddingsRoute = createRoute({
  ...{ method: "post", path: "/v1/embeddings", summary: "Not supported", tags: ["models"] },
  responses: { 404: errorAnswer },
});

export function addEmbeddingsRoute(app: OpenAPIHono<Env>): void {
  app.openapi(embeddingsRoute, () => {
    throw new ApiError(404, "This server generates text. It does not compute embeddings.");
  });
}
