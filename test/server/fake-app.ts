/** An application around fake services, what it logged, and short ways to ask it. */

import { type App, createApp } from "../../src/server/app.ts";
import { createLog } from "../../src/server/log.ts";
import { type ServerSettings, serverSettings } from "../../src/server/settings.ts";
import type { FakeScript } from "./fake-engine.ts";
import { type FakeServices, fakeServices } from "./fake-services.ts";

export interface FakeApp {
  readonly app: App;
  readonly services: FakeServices;
  readonly settings: ServerSettings;
  /** Lines of the log so far. */
  readonly lines: string[];
  /** Asks by path, with a Host header that the server lets in. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

export interface FakeAppOptions {
  readonly script?: FakeScript;
  readonly services?: Partial<FakeServices>;
  readonly settings?: Partial<ServerSettings>;
}

export function fakeApp(options: FakeAppOptions = {}): FakeApp {
  const services = fakeServices(options.script, options.services);
  const settings = serverSettings({ version: "0.0.0-test", port: 0, ...options.settings });
  const lines: string[] = [];
  const log = createLog({ write: (line) => void lines.push(line) });
  const app = createApp(services, settings, log);
  const ask = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (!headers.has("host")) headers.set("host", "localhost");
    return await app.fetch(new Request(`http://localhost${path}`, { ...init, headers }));
  };
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
  return { app, services, settings, lines, ask, post };
}

export interface ErrorAnswer {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
    readonly [extra: string]: unknown;
  };
}

export async function errorOf(answer: Response): Promise<ErrorAnswer["error"]> {
  return (await answer.json() as ErrorAnswer).error;
}
