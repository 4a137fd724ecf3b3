/** The listening socket: Bun's HTTP server around an application, and its end. */

import { ArcticError, Exit } from "../errors.ts";
import { limits } from "../limits.ts";
import type { App } from "./app.ts";
import { errorResponse, toApiError } from "./errors.ts";
import type { Log } from "./log.ts";
import type { ServerSettings } from "./settings.ts";
import { describe } from "./failure.ts";

export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** From now on `app` answers; requests that the one before it has begun are finished by it. */
  use(app: App): void;
  /**
   * Takes no more connections, lets what runs end for so many seconds, then ends it. Resolves when
   * all is closed; true when nothing had to be cut short.
   */
  drain(seconds: number): Promise<boolean>;
}

/**
 * Begins to listen.
 * @throws ArcticError `usage_port_taken`, `usage_port_forbidden`, `usage_tls` or `usage_listen`, with exit code 1
 */
export function listen(app: App, settings: ServerSettings, log: Log): Listener {
  let current = app;
  const server = bind(settings, {
    fetch: (request, server) =>
      current.fetch(request, {
        holdOpen: () => server.timeout(request, 0),
        limitIdle: () => server.timeout(request, limits.idleSeconds),
      }),
    error: (error) => {
      log.error(describe(error), "request failed outside its route");
      return errorResponse(toApiError(error, { requestId: "none" }));
    },
  });
  return {
    host: settings.host,
    port: server.port ?? settings.port,
    url: server.url.origin,
    use: (next) => {
      current = next;
    },
    drain: (seconds) => drain(server, current, seconds),
  };
}

type Server = ReturnType<typeof Bun.serve>;

interface Handlers {
  fetch(request: Request, server: Server): Response | Promise<Response>;
  error(error: Error): Response;
}

function bind(settings: ServerSettings, handlers: Handlers): Server {
  const { host, port, tls } = settings;
  try {
    return Bun.serve({
      hostname: host,
      port,
      development: false,
      // Without development Bun would share a taken port (SO_REUSEPORT) and say nothing.
      reusePort: false,
      idleTimeout: limits.idleSeconds,
      // Larger bodies than Bun takes get an empty answer: ours are refused before they reach this.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...(tls ? { tls } : {}),
      ...handlers,
    });
  } catch (cause) {
    throw listenError(cause, settings);
  }
}

function listenError(cause: unknown, { host, port, tls }: ServerSettings): ArcticError {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const options = { exit: Exit.failed, cause };
  if (code === "EADDRINUSE") {
    return new ArcticError(
      "usage_port_taken",
      `Port ${port} of ${host} is in use. Stop what listens there, or give another --port.`,
      options,
    );
  }
  if (code === "EACCES") {
    return new ArcticError(
      "usage_port_forbidden",
      `Port ${port} of ${host} may not be listened on. Give a --port of 1024 or more.`,
      options,
    );
  }
  if (tls && !/^E(?!RR_)/.test(String(code))) {
    return new ArcticError(
      "usage_tls",
      "The TLS certificate and its key cannot be used: both have to be PEM, and belong together.",
      options,
    );
  }
  return new ArcticError(
    "usage_listen",
    `arctic cannot listen on port ${port} of ${host}${
      code ? ` (${code})` : ""
    }. Check --host and ` +
      "--port.",
    options,
  );
}

async function drain(server: Server, app: App, seconds: number): Promise<boolean> {
  const { admission } = app;
  admission.drain();
  const stopped = server.stop();
  const isWhole = await within(seconds, Promise.all([admission.empty(), stopped]));
  if (isWhole) return true;
  admission.stop();
  await within(limits.farewellSeconds, Promise.all([admission.empty(), stopped]));
  await server.stop(true);
  return false;
}

/** Whether `work` ended within so many seconds. */
async function within(seconds: number, work: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  const timer = setTimeout(() => late.resolve(false), seconds * 1_000);
  const inTime = await Promise.race([work.then(() => true), late.promise]);
  clearTimeout(timer);
  return inTime;
}
