/** API keys: one of them, as a bearer token, on every route that is not told to be open. */

import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { Env } from "./env.ts";
import { ApiError } from "./errors.ts";

/** Who asks where no key is asked for. */
const ANYONE = "anyone";
/** For probes of supervisors and load balancers. They tell whether the server works, and no more. */
const openPaths: ReadonlySet<string> = new Set(["/health", "/ready"]);

export function hashKey(key: string): Uint8Array {
  return createHash("sha256").update(key).digest();
}

/** The hash that `key` has among `hashes`. All are compared in full: time tells nothing about them. */
export function findKey(key: string, hashes: readonly Uint8Array[]): Uint8Array | undefined {
  const given = hashKey(key);
  let found: Uint8Array | undefined;
  for (const hash of hashes) if (timingSafeEqual(given, hash)) found = hash;
  return found;
}

/** Not the hash itself: what the engine keeps must not help anyone to find a key. */
function saltOf(identity: string): string {
  return createHash("sha256").update(`cache salt\0${identity}`).digest("hex");
}

/** The token of an Authorization header. The scheme's case does not matter (RFC 9110, 11.1). */
function bearerToken(header: string | undefined): string | undefined {
  return /^bearer +([^\s,]+) *$/i.exec(header ?? "")?.[1];
}

function unauthorized(header: string | undefined): ApiError {
  const message = header === undefined
    ? "This server asks for an API key. Send it as `Authorization: Bearer KEY`."
    : "The Authorization header does not hold a valid API key. Send `Authorization: Bearer KEY`.";
  return new ApiError(401, message, {
    code: "invalid_api_key",
    headers: { "www-authenticate": "Bearer" },
  });
}

/** Refuses requests without a valid key, and says whose request it is. */
export function authentication(hashes: readonly Uint8Array[]) {
  return createMiddleware<Env>(async (c, next) => {
    const header = c.req.header("authorization");
    const key = bearerToken(header);
    const hash = key === undefined ? undefined : findKey(key, hashes);
    if (hashes.length > 0 && hash === undefined && !openPaths.has(c.req.path)) {
      throw unauthorized(header);
    }
    const identity = hash === undefined ? ANYONE : Buffer.from(hash).toString("hex");
    c.set("keyIdentity", identity);
    c.set("cacheSalt", saltOf(identity));
    await next();
  });
}
