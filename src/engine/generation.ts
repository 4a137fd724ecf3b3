/** A generate request while it runs: sampling, text, stop conditions, timings. */

import { Channel } from "./channel.ts";
import type { EngineEvent, FinishReason, Timings } from "./events.ts";
import type { Job } from "./job.ts";
import type { GenerateRequest } from "./request.ts";
import { Random } from "./random.ts";
import { sample, sampleAdmitted } from "./sampler.ts";
import type { Sequence } from "./sequence.ts";
import { StopMatcher } from "./stop.ts";

/** Turns tokens into text as they come; never half a character. */
export interface TextStream {
  push(token: number): string;
  flush(): string;
}

/** Milliseconds since any fixed moment, never going back. */
export type Clock = () => number;

export interface GenerationOptions {
  readonly request: GenerateRequest;
  readonly sequence: Sequence;
  readonly maxTokens: number;
  readonly endTokens: ReadonlySet<number>;
  /** Absent for a model without a tokenizer: all text is empty. */
  readonly text: TextStream | undefined;
  readonly clock: Clock;
}

export class Generation implements Job {
  readonly events = new Channel<EngineEvent>();
  readonly sequence: Sequence;
  readonly wants = "last";

  readonly #options: GenerationOptions;
  readonly #random: Random;
  readonly #stop: StopMatcher;
  readonly #started: number;
  readonly #promptTokens: number;
  #firstTokenAt: number | undefined;
  #generated = 0;

  constructor(options: GenerationOptions) {
    this.#options = options;
    this.sequence = options.sequence;
    this.#random = new Random(options.request.sampling.seed);
    this.#stop = new StopMatcher(options.request.stop ?? []);
    this.#promptTokens = options.request.tokens.length;
    this.#started = options.clock();
  }

  progress(stored: number): void {
    if (stored > this.#promptTokens) return;
    this.events.push({ type: "prefill", done: stored, total: this.#promptTokens });
  }

  accept(logits: Float32Array): boolean {
    const { request, endTokens, text, maxTokens, clock } = this.#options;
    const { token, logprob } = request.constraint
      ? sampleAdmitted(logits, request.sampling, this.#random, request.constraint)
      : sample(logits, request.sampling, this.#random);
    this.#firstTokenAt ??= clock();
    if (endTokens.has(token) && !request.ignoreEos) return this.#end("stop");

    this.#generated += 1;
    this.sequence.append(token);
    request.constraint?.accept(token);
    const matched = this.#stop.push(text?.push(token) ?? "");
    this.events.push({ type: "token", token, text: matched.text, logprob });
    if (matched.stopped) return this.#end("stop", "");
    if (this.#generated === maxTokens) return this.#end("length");
    return true;
  }

  cancel(): void {
    this.#end("cancelled");
  }

  #end(finishReason: FinishReason, text = this.#heldBack()): false {
    this.events.push({
      type: "end",
      finishReason,
      text,
      usage: { promptTokens: this.#promptTokens, completionTokens: this.#generated },
      timings: this.#timings(),
    });
    this.events.close();
    return false;
  }

  /** The text that neither half a character nor half a stop string has let out so far. */
  #heldBack(): string {
    const { text, stopped } = this.#stop.push(this.#options.text?.flush() ?? "");
    return stopped ? text : text + this.#stop.flush();
  }

  #timings(): Timings {
    const now = this.#options.clock();
    const prefillMs = (this.#firstTokenAt ?? now) - this.#started;
    const decodeMs = now - (this.#firstTokenAt ?? now);
    const rate = (tokens: number, ms: number) => ms > 0 ? tokens / ms * 1000 : 0;
    return {
      prefillMs,
      decodeMs,
      prefillTokensPerSecond: rate(this.#promptTokens, prefillMs),
      decodeTokensPerSecond: rate(Math.max(0, this.#generated - 1), decodeMs),
    };
  }
}
