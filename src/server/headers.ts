/** Headers of every answer: it is for its client alone, and is what its type says. */

import { createMiddleware } from "hono/factory";
import type { Env } from "./env.ts";

export function answerHeaders() {
  return createMiddleware<Env>(async (c, next) => {
    await next();
    const { headers } = c.res;
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    headers.set("x-content-type-options", "nosniff");
  });
}
