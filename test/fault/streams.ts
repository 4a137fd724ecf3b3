/** Generations that run until something ends them, read from the server's event stream. */

import { createParser } from "eventsource-parser";
import type { ServedProcess } from "../clients/server.ts";

export interface ErrorObject {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

export interface EndlessStream {
  /** Chunks that have come so far. */
  readonly chunks: () => number;
  /** Resolves when `count` more chunks have come. */
  more(count: number): Promise<void>;
  /** The error event that ended it; undefined where it ended without one. */
  readonly ended: Promise<ErrorObject | undefined>;
  leave(): void;
}

export const PROMPT = [5, 6, 7, 8];

export function complete(
  { url }: Pick<ServedProcess, "url">,
  fields: object = {},
  init: RequestInit = {},
): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: PROMPT, temperature: 0, ignore_eos: true, ...fields }),
    ...init,
  });
}

/** Resolves when the first token has come. */
export async function endlessStream(
  server: Pick<ServedProcess, "url">,
  fields: object = {},
): Promise<EndlessStream> {
  const controller = new AbortController();
  const response = await complete(
    server,
    { stream: true, max_tokens: -1, sinks: 4, window: 32, ...fields },
    { signal: controller.signal },
  );
  if (response.body === null || response.status !== 200) {
    throw new Error(`${response.status}: ${await response.text()}`);
  }
  let chunks = 0;
  let failed: ErrorObject | undefined;
  const waiting = new Set<() => void>();
  const parser = createParser({
    onEvent: ({ data }) => {
      chunks++;
      failed ??= data === "[DONE]"
        ? undefined
        : (JSON.parse(data) as { error?: ErrorObject }).error;
      for (const look of waiting) look();
    },
  });
  const read = async (body: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const part of body) parser.feed(decoder.decode(part, { stream: true }));
  };
  // A connection that is cut ends it like any other end; only the error event tells why.
  const ended = read(response.body).catch(() => {}).then(() => failed);
  const stream: EndlessStream = {
    chunks: () => chunks,
    more(count) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const wanted = chunks + count;
      const look = () => {
        if (chunks >= wanted) resolve();
      };
      waiting.add(look);
      ended.then((error) => reject(new Error(`it ended: ${JSON.stringify(error)}`)));
      return promise.finally(() => waiting.delete(look));
    },
    ended,
    leave: () => controller.abort(),
  };
  if (chunks === 0) await stream.more(1);
  return stream;
}
