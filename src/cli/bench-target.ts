/** What `bench serve` loads: an engine in this process, or a server that speaks the OpenAI API. */

import type { EngineDoor } from "../engine/door.ts";
import { ArcticError } from "../errors.ts";

export interface LoadRequest {
  readonly tokens: readonly number[];
  readonly maxTokens: number;
}

/** Moments are milliseconds of performance.now(). */
export interface LoadResult {
  readonly sentAt: number;
  /** When each piece of output came: a token from an engine, a chunk over HTTP. */
  readonly pieces: readonly number[];
  readonly tokens: number;
  /** Where the target tells. */
  readonly queueMs: number | undefined;
}

export interface LoadTarget {
  readonly name: string;
  run(request: LoadRequest, signal: AbortSignal): Promise<LoadResult>;
}

/** Every request of a benchmark is read from its beginning. */
const uncached = () => crypto.randomUUID();

export function engineTarget(engine: EngineDoor): LoadTarget {
  return {
    name: `the engine in this process, ${engine.device}`,
    async run({ tokens, maxTokens }, signal) {
      const sentAt = performance.now();
      const pieces: number[] = [];
      const events = engine.submit({
        kind: "generate",
        tokens,
        maxTokens,
        sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
        ignoreEos: true,
        cacheSalt: uncached(),
      }, signal);
      for await (const event of events) {
        if (event.type === "token") pieces.push(performance.now());
        if (event.type !== "end") continue;
        const { usage, timings } = event;
        return { sentAt, pieces, tokens: usage.completionTokens, queueMs: timings.queueMs };
      }
      throw new ArcticError("engine_ended", "The engine ended the request without a result.");
    },
  };
}

/** @param base address up to and with `/v1` */
export function httpTarget(base: string, model: string, apiKey: string | undefined): LoadTarget {
  const url = `${base.replace(/\/+$/, "")}/completions`;
  const headers = {
    "Content-Type": "application/json",
    ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }),
  };
  return {
    name: url,
    async run({ tokens, maxTokens }, signal) {
      const sentAt = performance.now();
      const body = JSON.stringify({
        model,
        prompt: tokens,
        max_tokens: maxTokens,
        temperature: 0,
        ignore_eos: true,
        cache_salt: uncached(),
        // The same switch as llama.cpp's server knows it.
        cache_prompt: false,
        stream: true,
        stream_options: { include_usage: true },
      });
      const response = await fetch(url, { method: "POST", headers, body, signal });
      if (!response.ok || response.body === null) throw await refused(url, response);
      return { sentAt, ...await readStream(response.body), queueMs: undefined };
    },
  };
}

async function refused(url: string, response: Response): Promise<ArcticError> {
  const text = (await response.text()).slice(0, 300);
  return new ArcticError(
    "request_refused",
    `The server at ${url} answered ${response.status}: ${text}`,
  );
}

/** Moments of the chunks that carry output, and the number of tokens that the usage chunk tells. */
async function readStream(
  body: ReadableStream<Uint8Array>,
): Promise<Pick<LoadResult, "pieces" | "tokens">> {
  const pieces: number[] = [];
  let tokens: number | undefined;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const chunk = JSON.parse(line.slice("data: ".length)) as StreamChunk;
      if (chunk.error) {
        throw new ArcticError("request_refused", `The server ended a stream: ${line.slice(6)}`);
      }
      if (chunk.choices?.some(({ finish_reason }) => !finish_reason)) {
        pieces.push(performance.now());
      }
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
  }
  return { pieces, tokens: tokens ?? pieces.length };
}

interface StreamChunk {
  readonly error?: unknown;
  readonly choices?: readonly { readonly finish_reason?: string | null }[];
  readonly usage?: { readonly completion_tokens?: number } | null;
}
