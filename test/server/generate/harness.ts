/** A server's application over a fake engine, and the ways to ask it. */

import { createParser } from "eventsource-parser";
import { createApp } from "../../../src/server/app.ts";
import { createLog } from "../../../src/server/log.ts";
import { type ServerSettings, serverSettings } from "../../../src/server/settings.ts";
import type { FakeScript } from "../fake-engine.ts";
import { type FakeServices, fakeServices } from "../fake-services.ts";

export const CHAT = "/v1/chat/completions";
export const COMPLETIONS = "/v1/completions";
export const hello = [{ role: "user", content: "Hi" }];

export interface Harness {
  readonly services: FakeServices;
  readonly app: ReturnType<typeof createApp>;
  post(path: string, body: object, init?: RequestInit): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** The base URL of a listener on a free port, closed by `stop`. */
  listen(): { readonly url: string; stop(): Promise<void> };
}

export function harness(
  script?: FakeScript,
  given: Partial<FakeServices> = {},
  settings: Partial<ServerSettings> = {},
): Harness {
  const services = fakeServices(script, given);
  const silent = createLog({ write: () => {} });
  const whole = { ...serverSettings({ version: "0.0.0" }), ...settings };
  const app = createApp(services, whole, silent);
  const ask = async (path: string, init: RequestInit) => {
    const headers = new Headers(init.headers);
    headers.set("host", "127.0.0.1");
    return await app.fetch(new Request(`http://127.0.0.1${path}`, { ...init, headers }));
  };
  return {
    services,
    app,
    post: (path, body, init = {}) =>
      ask(path, {
        method: "POST",
        body: JSON.stringify(body),
        ...init,
        headers: {
          "content-type": "application/json",
          ...Object.fromEntries(new Headers(init.headers)),
        },
      }),
    get: (path, headers = {}) => ask(path, { headers }),
    listen: () => {
      const server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        idleTimeout: 30,
        fetch: (request) => app.fetch(request),
      });
      return { url: `http://127.0.0.1:${server.port}/v1`, stop: () => server.stop(true) };
    },
  };
}

export interface SseEvent {
  readonly id: string | undefined;
  readonly data: string;
}

/** All events of an answer; comments go to `comments`. */
export async function events(response: Response, comments: string[] = []): Promise<SseEvent[]> {
  const found: SseEvent[] = [];
  const parser = createParser({
    onEvent: ({ id, data }) => found.push({ id, data }),
    onComment: (comment) => comments.push(comment),
  });
  parser.feed(await response.text());
  return found;
}

export interface ToolCall {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface AnswerChoice {
  readonly index: number;
  readonly text: string;
  readonly message: { readonly content: string | null; readonly tool_calls?: ToolCall[] };
  readonly delta: Record<string, unknown>;
  readonly token_ids?: number[];
  readonly logprobs: Record<string, unknown[]> | null;
  readonly finish_reason: string | null;
  readonly stop_reason?: string | number;
}

/** Whatever a route answers; a test looks at what it expects to be there. */
export interface Answer {
  readonly id: string;
  readonly choices: AnswerChoice[];
  readonly usage: Record<string, unknown>;
  readonly error: { readonly message: string; readonly param: string; readonly code: string };
}

export async function answerOf(response: Response): Promise<Answer> {
  return await response.json() as Answer;
}

/** The choices of a stream's chunks, in order. */
export async function choicesOf(response: Response): Promise<AnswerChoice[]> {
  const all = await events(response);
  return all.filter(({ data }) => data !== "[DONE]").flatMap(({ data }) =>
    (JSON.parse(data) as Answer).choices
  );
}
