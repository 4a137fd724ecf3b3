/** Schemas that several routes share. They check requests and describe the API at /openapi.json. */

import { z } from "@hono/zod-openapi";

export const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
}).openapi("Error");

/** For a route's `responses`. */
export const errorAnswer = {
  description: "Why it was refused or failed.",
  content: { "application/json": { schema: errorSchema } },
};

/** A JSON body that a route needs, for its `request`. */
export function jsonRequest<T extends z.ZodType>(schema: T) {
  return { body: { required: true, content: { "application/json": { schema } } } };
}

/** A JSON answer, for a route's `responses`. */
export function jsonAnswer<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { "application/json": { schema } } };
}
