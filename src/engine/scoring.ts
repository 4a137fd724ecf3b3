/** A score request while it runs: log-probabilities after every token, teacher forced. */

import { Channel } from "./channel.ts";
import type { EngineEvent } from "./events.ts";
import type { Clock } from "./generation.ts";
import type { Job } from "./job.ts";
import { logSoftmax } from "./sampler.ts";
import type { Sequence } from "./sequence.ts";

export class Scoring implements Job {
  readonly events = new Channel<EngineEvent>();
  readonly sequence: Sequence;
  readonly wants = "all";
  readonly #tokens: number;
  readonly #clock: Clock;
  readonly #started: number;

  constructor(sequence: Sequence, clock: Clock) {
    this.sequence = sequence;
    this.#tokens = sequence.pending;
    this.#clock = clock;
    this.#started = clock();
  }

  progress(stored: number): void {
    this.events.push({ type: "prefill", done: stored, total: this.#tokens });
  }

  accept(logits: Float32Array, position: number): boolean {
    this.events.push({ type: "scored", position, logprobs: logSoftmax(logits) });
    if (position < this.#tokens - 1) return true;
    this.#end("length");
    return false;
  }

  cancel(): void {
    this.#end("cancelled");
  }

  #end(finishReason: "length" | "cancelled"): void {
    const prefillMs = this.#clock() - this.#started;
    const prefillTokensPerSecond = prefillMs > 0 ? this.#tokens / prefillMs * 1000 : 0;
    this.events.push({
      type: "end",
      finishReason,
      text: "",
      usage: { promptTokens: this.#tokens, completionTokens: 0 },
      timings: { prefillMs, decodeMs: 0, prefillTokensPerSecond, decodeTokensPerSecond: 0 },
    });
    this.events.close();
  }
}
