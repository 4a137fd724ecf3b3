/** A score request while it runs: log-probabilities after every token, teacher forced. */

import { Channel } from "./channel.ts";
import type { EngineEvent } from "./events.ts";
import type { Clock } from "./generation.ts";
import type { Job } from "./job.ts";
import { likeliest, logSoftmax } from "./logprobs.ts";
import type { ScoreRequest } from "./request.ts";
import type { Sequence } from "./sequence.ts";

export class Scoring implements Job {
  readonly events = new Channel<EngineEvent>();
  readonly sequence: Sequence;
  readonly wants = "all";
  readonly #request: ScoreRequest;
  readonly #clock: Clock;
  readonly #arrivedAt: number;
  #admittedAt: number | undefined;

  constructor(request: ScoreRequest, sequence: Sequence, clock: Clock) {
    this.sequence = sequence;
    this.#request = request;
    this.#clock = clock;
    this.#arrivedAt = clock();
  }

  admitted(): void {
    this.#admittedAt ??= this.#clock();
  }

  ready(): undefined {}

  progress(stored: number): void {
    this.events.push({ type: "prefill", done: stored, total: this.#request.tokens.length });
  }

  accept(logits: Float32Array, position: number): boolean {
    const { tokens } = this.#request;
    this.events.push(this.#scored(logSoftmax(logits), position));
    if (position < tokens.length - 1) return true;
    this.#end("length");
    return false;
  }

  cancel(): void {
    this.#end("cancelled");
  }

  fail(error: unknown): void {
    this.events.fail(error);
  }

  #scored(logprobs: Float32Array, position: number): EngineEvent {
    const { tokens, top } = this.#request;
    if (top === undefined) return { type: "scored", position, logprobs };
    const scored = (token: number) => ({ token, logprob: logprobs[token] as number });
    const next = tokens[position + 1];
    return {
      type: "scored-top",
      position,
      next: next === undefined ? undefined : scored(next),
      top: likeliest(logprobs, top).map(scored),
    };
  }

  #end(finishReason: "length" | "cancelled"): void {
    const now = this.#clock();
    const admittedAt = this.#admittedAt ?? now;
    const prefillMs = now - admittedAt;
    const promptTokens = this.#request.tokens.length;
    this.events.push({
      type: "end",
      finishReason,
      text: "",
      usage: { promptTokens, completionTokens: 0, cachedTokens: 0 },
      timings: {
        queueMs: admittedAt - this.#arrivedAt,
        prefillMs,
        decodeMs: 0,
        prefillTokensPerSecond: prefillMs > 0 ? promptTokens / prefillMs * 1000 : 0,
        decodeTokensPerSecond: 0,
      },
    });
    this.events.close();
  }
}
