/** One line in the log and one count in the metrics for every request, by its route's template. */

import { createMiddleware } from "hono/factory";
import { limits } from "../limits.ts";
import { AccessRecord } from "./access.ts";
import type { Env } from "./env.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { routeOf } from "./routing.ts";

/** Stands for every path that is no route's, and every method that is not among these. */
const OTHER = "other";
const methods: ReadonlySet<string> = new Set([
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
]);

/** @param clock milliseconds, never going back */
export function accessLog(log: Log, metrics: Metrics, clock: () => number) {
  return createMiddleware<Env>(async (c, next) => {
    const start = clock();
    const method = methods.has(c.req.method) ? c.req.method : OTHER;
    const own = log.child({ request_id: c.var.requestId });
    let route = OTHER;
    const access = new AccessRecord((record) => {
      own.info({
        method,
        route,
        status: c.res.status,
        ms: Math.round(clock() - start),
        prompt_tokens: record.promptTokens,
        completion_tokens: record.completionTokens,
        finish_reason: record.finishReason,
        user_agent: printable(c.req.header("user-agent")),
      }, "request");
    });
    c.set("log", own);
    c.set("access", access);
    await next();
    route = routeOf(c) ?? OTHER;
    metrics.http(method, route, c.res.status, clock() - start);
    access.headSent();
  });
}

/** JSON escapes what would break a line, and not all of what steers a terminal. */
function printable(text: string | undefined): string | undefined {
  return text?.slice(0, limits.userAgentCharacters).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}
