/** Which route a request is for, by the route's template, and what other methods its path has. */

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { matchedRoutes } from "hono/route";
import { getPath } from "hono/utils/url";
import type { Env } from "./env.ts";
import { ApiError } from "./errors.ts";

const unversioned = /^\/(?:chat\/completions|completions|embeddings|models(?:\/[^/]+)?)$/;

/**
 * The path that a request is routed by. Clients of llama-server leave the version out of its base URL,
 * and the routes of OpenAI's API are found there too.
 */
export function routedPath(request: Request): string {
  const path = getPath(request);
  return unversioned.test(path) ? `/v1${path}` : path;
}

/** The template of the route that answers, or undefined where there is none. */
export function routeOf(c: Context<Env>): string | undefined {
  return matchedRoutes(c).findLast(({ path }) => !path.endsWith("*"))?.path;
}

/** Methods by template, of every route that is not middleware. */
export function routeTable(app: OpenAPIHono<Env>): ReadonlyMap<string, ReadonlySet<string>> {
  const table = new Map<string, Set<string>>();
  for (const { method, path } of app.routes) {
    if (method === "ALL" || path.endsWith("*")) continue;
    const methods = table.get(path) ?? new Set();
    table.set(path, methods.add(method));
  }
  return table;
}

/** Routes whose GET begins to read something: there is no answer to it without a body. */
const withoutHead: ReadonlySet<string> = new Set(["/v1/streams/:id"]);

/**
 * For the routes of `withoutHead`: Hono answers HEAD with what their GET does.
 * @throws ApiError 405
 */
export function refuseHead(c: Context<Env>): void {
  if (c.req.method === "HEAD") throw wrongMethod("GET, OPTIONS");
}

function wrongMethod(allow: string): ApiError {
  return new ApiError(405, `This route takes ${allow} only.`, { headers: { allow } });
}

function pattern(template: string): RegExp {
  const parts = template.split("/").map((part) =>
    part.startsWith(":") ? "[^/]+" : part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
  );
  return new RegExp(`^${parts.join("/")}$`);
}

/**
 * Answers what no route does: 204 to OPTIONS, 405 where the path has other methods, else 404. Call it
 * when all routes are there.
 */
export function answerUnrouted(app: OpenAPIHono<Env>): void {
  const table = [...routeTable(app)].map(([template, methods]) => ({
    pattern: pattern(template),
    allow: allowed(template, methods),
  }));
  app.notFound((c) => {
    const allow = table.find((route) => route.pattern.test(c.req.path))?.allow;
    if (allow === undefined) {
      throw new ApiError(404, "There is no such route. GET /openapi.json lists those there are.");
    }
    if (c.req.method === "OPTIONS") return c.body(null, 204, { allow });
    throw wrongMethod(allow);
  });
}

function allowed(template: string, methods: ReadonlySet<string>): string {
  const all = new Set([...methods, "OPTIONS"]);
  if (all.has("GET") && !withoutHead.has(template)) all.add("HEAD");
  return [...all].sort().join(", ");
}
