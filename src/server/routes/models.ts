/** The one model that is served. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Env } from "../env.ts";
import { modelNotFound } from "../errors.ts";
import { errorAnswer, jsonAnswer } from "../schema.ts";
import type { ServedModel } from "../services.ts";

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int().describe("Unix seconds"),
  owned_by: z.string(),
  max_model_len: z.int().describe("Tokens of prompt and answer together"),
}).openapi("Model");

const listSchema = z.object({ object: z.literal("list"), data: z.array(modelSchema) });

const listRoute = createRoute({
  ...{ method: "get", path: "/v1/models", summary: "Models", tags: ["models"] },
  responses: { 200: jsonAnswer("All models.", listSchema), 401: errorAnswer },
});

const modelRoute = createRoute({
  ...{ method: "get", path: "/v1/models/{id}", summary: "One model", tags: ["models"] },
  request: {
    params: z.object({ id: z.string().describe("A slash in it is written %2F") }),
  },
  responses: { 200: jsonAnswer("The model.", modelSchema), 404: errorAnswer },
});

export function addModelRoutes(
  app: OpenAPIHono<Env>,
  model: ServedModel,
  contextTokens: number,
): void {
  const described = {
    id: model.id,
    object: "model" as const,
    created: model.created,
    owned_by: "arctic",
    max_model_len: contextTokens,
  };
  app.openapi(listRoute, (c) => c.json({ object: "list" as const, data: [described] }, 200));
  app.openapi(modelRoute, (c) => {
    const { id } = c.req.valid("param");
    if (id !== model.id) throw modelNotFound(id, model.id);
    return c.json(described, 200);
  });
}
