/** A name for every request, by which a client and the log speak of the same one. */

import { createMiddleware } from "hono/factory";
import { limits } from "../limits.ts";
import type { Env } from "./env.ts";

const FIT = new RegExp(`^[A-Za-z0-9._-]{1,${limits.requestIdCharacters}}$`);

/** Takes the client's X-Request-Id where it is harmless, and sends it or a fresh one back. */
export function requestId(fresh: () => string) {
  return createMiddleware<Env>(async (c, next) => {
    const given = c.req.header("x-request-id") ?? "";
    const id = FIT.test(given) ? given : `req_${fresh()}`;
    c.set("requestId", id);
    await next();
    c.res.headers.set("x-request-id", id);
  });
}
