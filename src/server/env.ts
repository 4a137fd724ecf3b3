/** What the routes find in Hono's context. */

import type { AccessRecord } from "./access.ts";
import type { Log } from "./log.ts";

/** What the listener gives to each request; all of it is absent when a test calls `fetch` itself. */
export interface Bindings {
  /** Lifts the idle time limit of this request's connection: generations may be silent for long. */
  readonly holdOpen?: () => void;
  /** Brings it back. */
  readonly limitIdle?: () => void;
}

export interface Variables {
  /** The client's X-Request-Id where it is fit to be shown, else a fresh one. */
  requestId: string;
  /** The hash of the API key, or a fixed word where none is asked for. Never written anywhere. */
  keyIdentity: string;
  /** For EngineRequest.cacheSalt: requests of different keys share no cached prefix. */
  cacheSalt: string;
  /** Writes the request's id with every line. */
  log: Log;
  /** What the request's one line in the log will say. */
  access: AccessRecord;
}

export interface Env {
  Bindings: Bindings;
  Variables: Variables;
}
