/**
 * Refuses what a web page of someone else's can make a browser send. A page can reach this server under
 * a name of its own (DNS rebinding), so names are checked; and it can send a form or a script's request
 * across origins, so the origin of everything but reading is checked. No CORS header is ever sent.
 */

import { createMiddleware } from "hono/factory";
import type { Env } from "./env.ts";
import { ApiError } from "./errors.ts";

export interface GuardSettings {
  readonly host: string;
  readonly allowedHosts: readonly string[];
}

const loopbackNames = ["localhost", "127.0.0.1", "::1"];
const wildcards: ReadonlySet<string> = new Set(["0.0.0.0", "::", "*"]);
const safeMethods: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** `name`, `name:port`, `[::1]:port`: the name in lower case; undefined for anything else. */
export function hostName(header: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** An address cannot be rebound, for no name is looked up. */
function isAddress(name: string): boolean {
  return name.includes(":") || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** Which names in a Host header are this server's. */
export function hostPolicy({ host, allowedHosts }: GuardSettings): (name: string) => boolean {
  const names = new Set(
    [...loopbackNames, host, ...allowedHosts].map((name) => name.toLowerCase()),
  );
  const isOpen = wildcards.has(host);
  return (name) => names.has(name) || (isOpen && isAddress(name));
}

function forbidden(message: string): ApiError {
  return new ApiError(403, message, { type: "permission_error" });
}

/** @throws ApiError 403 unless the Host header is one name of this server, with any port or none */
export function hostGuard(settings: GuardSettings) {
  const isOurs = hostPolicy(settings);
  return createMiddleware<Env>(async (c, next) => {
    const name = hostName(c.req.header("host") ?? "");
    if (name === undefined || !isOurs(name)) {
      throw forbidden(
        "The Host header does not name this server. If it is known under that name, start it with " +
          "--allowed-host NAME.",
      );
    }
    await next();
  });
}

/** @throws ApiError 403 where a page of another origin asks for more than to read */
export function originGuard() {
  return createMiddleware<Env>(async (c, next) => {
    const origin = c.req.header("origin");
    const host = c.req.header("host")?.toLowerCase();
    if (origin !== undefined && !safeMethods.has(c.req.method) && originHost(origin) !== host) {
      throw forbidden(
        "The Origin header names another site. Pages of other sites may not ask here.",
      );
    }
    await next();
  });
}

function originHost(origin: string): string | undefined {
  return /^https?:\/\/([^/?#@\s]+)$/i.exec(origin)?.[1]?.toLowerCase();
}
