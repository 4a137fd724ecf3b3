/** A generate request while it runs: sampling, text, stop conditions, timings. */

import { Channel } from "./channel.ts";
import type { DrawnLogprob, EngineEvent, FinishReason, Timings } from "./events.ts";
import type { Job } from "./job.ts";
import { LoopDetector } from "./loop.ts";
import type { GenerateRequest } from "./request.ts";
import { type Sampled, Sampler } from "./sampler.ts";
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
  /** The model's own. */
  readonly endTokens: ReadonlySet<number>;
  readonly vocabulary: number;
  /** Absent for a model without a tokenizer: all text is empty. */
  readonly text: TextStream | undefined;
  readonly clock: Clock;
}

/** What ended a generation; `text` where it is not all that was held back. */
interface Ending {
  readonly matched?: string | number;
  readonly endToken?: DrawnLogprob;
  readonly text?: string;
}

export class Generation implements Job {
  readonly events = new Channel<EngineEvent>();
  readonly sequence: Sequence;
  readonly wants = "last";

  readonly #options: GenerationOptions;
  readonly #sampler: Sampler;
  readonly #stop: StopMatcher;
  readonly #stopTokens: ReadonlySet<number>;
  /** Tokens that may not be drawn before `minTokens` have been. */
  readonly #banned: ReadonlySet<number>;
  readonly #loop: LoopDetector | undefined;
  readonly #promptTokens: number;
  readonly #arrivedAt: number;
  #admittedAt: number | undefined;
  #firstTokenAt: number | undefined;
  #cachedTokens = 0;
  #read = 0;
  #generated = 0;

  constructor(options: GenerationOptions) {
    const { request, clock, endTokens, vocabulary } = options;
    this.#options = options;
    this.sequence = options.sequence;
    this.#sampler = new Sampler(request.sampling, { prompt: request.tokens, vocabulary });
    this.#stop = new StopMatcher(request.stop ?? []);
    this.#stopTokens = new Set(request.stopTokens);
    this.#banned = new Set([...endTokens, ...this.#stopTokens]);
    this.#loop = request.stopOnLoop ? new LoopDetector() : undefined;
    this.#promptTokens = request.tokens.length;
    this.#arrivedAt = clock();
  }

  admitted(cached: number): void {
    if (this.#admittedAt !== undefined) return;
    this.#admittedAt = this.#options.clock();
    this.#cachedTokens = cached;
  }

  ready(): Promise<void> | undefined {
    return this.#options.request.constraint?.ready?.();
  }

  /** A sequence that is computed again after it gave up its pages has nothing new to tell. */
  progress(stored: number): void {
    if (stored > this.#promptTokens || stored <= this.#read) return;
    this.#read = stored;
    this.events.push({ type: "prefill", done: stored, total: this.#promptTokens });
  }

  accept(logits: Float32Array): boolean {
    const { request, endTokens, text, maxTokens, clock } = this.#options;
    // A grammar that has come to its end admits nothing else: it outranks min_tokens.
    const early = !request.constraint && this.#generated < (request.minTokens ?? 0);
    const drawn = this.#sampler.next(logits, {
      ...(request.constraint && { constraint: request.constraint }),
      ...(early && { banned: this.#banned }),
      ...(request.logprobs !== undefined && { top: request.logprobs }),
    });
    const { token, ...logprobs } = drawn;
    this.#firstTokenAt ??= clock();
    if (endTokens.has(token) && !request.ignoreEos) return this.#end("stop", told(drawn));
    if (this.#stopTokens.has(token)) return this.#end("stop", { matched: token, ...told(drawn) });

    this.#generated += 1;
    this.#sampler.accept(token);
    this.sequence.append(token);
    request.constraint?.accept(token);
    const piece = text?.push(token) ?? "";
    const { text: shown, stop } = early ? { text: piece, stop: undefined } : this.#stop.push(piece);
    this.events.push({ type: "token", token, text: shown, ...logprobs });
    if (stop !== undefined) return this.#end("stop", { matched: stop, text: "" });
    const loops = this.#loop?.push(token) ?? false;
    if (loops && this.#generated >= (request.minTokens ?? 0)) return this.#end("loop");
    if (this.#generated === maxTokens) return this.#end("length");
    return true;
  }

  cancel(): void {
    this.#end("cancelled");
  }

  fail(error: unknown): void {
    this.#options.request.constraint?.close?.();
    this.events.fail(error);
  }

  #end(
    finishReason: FinishReason,
    { matched, endToken, text = this.#heldBack() }: Ending = {},
  ): false {
    this.#options.request.constraint?.close?.();
    this.events.push({
      type: "end",
      finishReason,
      ...(matched !== undefined && { matched }),
      ...(endToken && { endToken }),
      text,
      usage: {
        promptTokens: this.#promptTokens,
        completionTokens: this.#generated,
        cachedTokens: this.#cachedTokens,
      },
      timings: this.#timings(),
    });
    this.events.close();
    return false;
  }

  /** The text that neither half a character nor half a stop string has let out so far. */
  #heldBack(): string {
    const { text, stop } = this.#stop.push(this.#options.text?.flush() ?? "");
    return stop === undefined ? text + this.#stop.flush() : text;
  }

  #timings(): Timings {
    const now = this.#options.clock();
    const admittedAt = this.#admittedAt ?? now;
    const firstTokenAt = this.#firstTokenAt ?? now;
    const prefillMs = firstTokenAt - admittedAt;
    const decodeMs = now - firstTokenAt;
    const rate = (tokens: number, ms: number) => ms > 0 ? tokens / ms * 1000 : 0;
    return {
      queueMs: admittedAt - this.#arrivedAt,
      prefillMs,
      decodeMs,
      prefillTokensPerSecond: rate(this.#promptTokens - this.#cachedTokens, prefillMs),
      decodeTokensPerSecond: rate(Math.max(0, this.#generated - 1), decodeMs),
    };
  }
}

/** What an end says of the token that brought it: nothing without log-probabilities. */
function told({ token, logprob, top = [] }: Sampled): Pick<Ending, "endToken"> {
  return logprob === undefined ? {} : { endToken: { token, logprob, top } };
}
