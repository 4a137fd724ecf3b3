/** An engine without a model: it says what a test scripted, when and for as long as the test wants. */

import type { EngineDoor, EngineStats } from "../../src/engine/door.ts";
import type { EngineEvent, FinishReason } from "../../src/engine/events.ts";
import type { EngineRequest, GenerateRequest } from "../../src/engine/request.ts";
import { ArcticError } from "../../src/errors.ts";

export interface FakeToken {
  readonly token: number;
  readonly text: string;
}

export interface FakeScript {
  /** What a request is answered with; its `maxTokens` cuts it short. */
  readonly answer: readonly FakeToken[] | ((request: GenerateRequest) => readonly FakeToken[]);
  /** Begins again with the first token when all were said. */
  readonly endless?: boolean;
  readonly finishReason?: FinishReason;
  readonly matched?: string | number;
  /** Milliseconds before the first token, and before each token after it. */
  readonly prefillMs?: number;
  readonly tokenMs?: number;
  /** Nothing is said before it resolves. */
  readonly gate?: Promise<void>;
  /** Thrown when so many tokens were said; at 0 before any. */
  readonly failure?: { readonly after: number; readonly error: unknown };
  readonly cachedTokens?: number;
}

/** The characters of `text`, one token each. */
export function spell(text: string): FakeToken[] {
  return [...text].map((character) => ({ token: character.charCodeAt(0) % 256, text: character }));
}

export class FakeEngine implements EngineDoor {
  readonly device = "fake device";
  readonly requests: EngineRequest[] = [];
  script: FakeScript;
  /** Requests that were begun and have not ended. */
  active = 0;
  /** Requests that were left or aborted before their end. */
  cancelled = 0;
  generatedTokens = 0;
  promptTokens = 0;
  numericalErrors = 0;

  constructor(
    script: FakeScript = { answer: spell("Hello") },
    readonly contextTokens = 4_096,
    readonly vocabulary = 300,
  ) {
    this.script = script;
  }

  async *submit(
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineEvent, void, undefined> {
    this.requests.push(request);
    this.#refuse(request);
    this.active++;
    let ended = false;
    try {
      for await (const event of this.#events(request, signal)) {
        ended = event.type === "end" && event.finishReason !== "cancelled";
        yield event;
      }
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      this.active--;
      if (!ended) this.cancelled++;
    }
  }

  stats(): EngineStats {
    return {
      running: this.active,
      waiting: 0,
      pagesTotal: 100,
      pagesUsed: this.active,
      pagesCached: 3,
      steps: this.generatedTokens,
      promptTokens: this.promptTokens,
      generatedTokens: this.generatedTokens,
      preemptions: 1,
      prefixQueries: this.promptTokens,
      prefixHits: 2,
      evictedTokens: 5,
      numericalErrors: this.numericalErrors,
    };
  }

  #refuse(request: EngineRequest): void {
    if (request.tokens.length === 0) {
      throw new ArcticError(
        "request_empty_prompt",
        "The prompt is empty. Give at least one token.",
      );
    }
    if (request.tokens.length < this.contextTokens) return;
    throw new ArcticError(
      "request_context_length",
      `The prompt has ${request.tokens.length} tokens, too many for ${this.contextTokens}.`,
    );
  }

  #events(request: EngineRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    this.promptTokens += request.tokens.length;
    return request.kind === "generate"
      ? this.#generate(request, signal)
      : this.#score(request.tokens, request.top ?? 1);
  }

  async *#generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    const { answer, endless, failure, gate, prefillMs = 0, tokenMs = 0 } = this.script;
    const total = request.tokens.length;
    const tokens = typeof answer === "function" ? answer(request) : answer;
    const most = Math.min(
      request.maxTokens ?? Infinity,
      endless ? Infinity : tokens.length,
    );
    if (gate) await Promise.race([gate, aborted(signal)].filter((wait) => wait !== undefined));
    await pause(prefillMs, signal);
    yield { type: "prefill", done: total, total };
    for (let said = 0; said < most; said++) {
      if (said === failure?.after) throw failure.error;
      if (said > 0) await pause(tokenMs, signal);
      if (signal?.aborted) return yield this.#end("cancelled", total, said);
      this.generatedTokens++;
      yield tokenEvent(tokens[said % tokens.length] ?? { token: 0, text: "" }, request.logprobs);
    }
    if (most === failure?.after) throw failure.error;
    if (signal?.aborted) return yield this.#end("cancelled", total, most);
    const cut = most < tokens.length || (endless ?? false);
    yield this.#end(cut ? "length" : this.script.finishReason ?? "stop", total, most);
  }

  /** Each token is as likely as its position says: -1, -2, and so on. */
  async *#score(tokens: readonly number[], top: number): AsyncGenerator<EngineEvent> {
    for (let position = 0; position < tokens.length; position++) {
      await Promise.resolve();
      const next = tokens[position + 1];
      const logprob = -(position + 1);
      yield {
        type: "scored-top",
        position,
        next: next === undefined ? undefined : { token: next, logprob },
        top: Array.from({ length: top }, (_, rank) => ({ token: rank, logprob: -rank - 0.5 })),
      };
    }
    yield this.#end("stop", tokens.length, 0);
  }

  #end(finishReason: FinishReason, promptTokens: number, completionTokens: number): EngineEvent {
    const { matched, cachedTokens = 0 } = this.script;
    return {
      type: "end",
      finishReason,
      ...(matched !== undefined && finishReason === "stop" ? { matched } : {}),
      text: "",
      usage: { promptTokens, completionTokens, cachedTokens },
      timings: {
        queueMs: 1,
        prefillMs: 2,
        decodeMs: 3,
        prefillTokensPerSecond: 500,
        decodeTokensPerSecond: 400,
      },
    };
  }
}

function tokenEvent({ token, text }: FakeToken, logprobs: number | undefined): EngineEvent {
  if (logprobs === undefined) return { type: "token", token, text };
  const top = Array.from({ length: logprobs }, (_, rank) => ({
    token: (token + rank) % 256,
    logprob: -0.25 - rank,
  }));
  return { type: "token", token, text, logprob: -0.25, top };
}

function aborted(signal: AbortSignal | undefined): Promise<void> | undefined {
  if (!signal) return undefined;
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  if (milliseconds <= 0 || signal?.aborted) return;
  const timer = Promise.withResolvers<void>();
  const id = setTimeout(timer.resolve, milliseconds);
  await Promise.race([timer.promise, aborted(signal)].filter((wait) => wait !== undefined));
  clearTimeout(id);
}
