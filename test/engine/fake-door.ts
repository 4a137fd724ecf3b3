/** An engine without a model: it answers as its script says, and shows what it was asked. */

import type { EngineDoor, EngineStats } from "../../src/engine/door.ts";
import type { EndEvent, EngineEvent } from "../../src/engine/events.ts";
import type { EngineRequest, GenerateRequest } from "../../src/engine/request.ts";

export const noStats: EngineStats = {
  running: 0,
  waiting: 0,
  pagesTotal: 64,
  pagesUsed: 0,
  pagesCached: 0,
  steps: 0,
  promptTokens: 0,
  generatedTokens: 0,
  preemptions: 0,
  prefixQueries: 0,
  prefixHits: 0,
  evictedTokens: 0,
  numericalErrors: 0,
};

export function endEvent(finishReason: EndEvent["finishReason"], tokens: number): EndEvent {
  return {
    type: "end",
    finishReason,
    text: "",
    usage: { promptTokens: 1, completionTokens: tokens, cachedTokens: 0 },
    timings: {
      queueMs: 0,
      prefillMs: 1,
      decodeMs: 1,
      prefillTokensPerSecond: 1,
      decodeTokensPerSecond: 1,
    },
  };
}

export function generate(tokens: readonly number[], more: Partial<GenerateRequest> = {}) {
  return {
    kind: "generate",
    tokens,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    ...more,
  } satisfies GenerateRequest;
}

/** Generates maxTokens tokens, one each time it is asked, unless told otherwise. */
export class FakeDoor implements EngineDoor {
  readonly contextTokens = 100;
  readonly vocabulary = 10;
  readonly device = "a fake";
  readonly requests: EngineRequest[] = [];
  /** Tokens made for the request of each first token. */
  readonly made = new Map<number, number>();
  broken: unknown;
  /** Called before each token; may throw. */
  before: (request: EngineRequest, token: number) => Promise<void> | void = () => {};
  #running = 0;
  #steps = 0;

  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    this.requests.push(request);
    const key = request.tokens[0] ?? -1;
    const most = request.kind === "generate" ? request.maxTokens ?? 1 : 0;
    this.#running += 1;
    try {
      for (let token = 0; token < most; token++) {
        await this.before(request, token);
        if (signal?.aborted) return yield endEvent("cancelled", token);
        this.#steps += 1;
        this.made.set(key, token + 1);
        yield { type: "token", token, text: `${token} ` };
      }
      yield endEvent("length", most);
    } finally {
      this.#running -= 1;
    }
  }

  stats(): EngineStats {
    return { ...noStats, running: this.#running, pagesUsed: this.#running, steps: this.#steps };
  }
}
