/**
 * What /metrics tells, under the names that dashboards for vLLM know, with the prefix `arctic:`. Label
 * values come from fixed sets: no client can add a series.
 */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { EngineDoor } from "../engine/door.ts";
import type { EngineEvent, FinishReason } from "../engine/events.ts";
import { addEngineMetrics } from "./engine-metrics.ts";

const finishReasons: readonly FinishReason[] = ["stop", "length", "loop", "cancelled"];
const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/** One generation as it happens: it is told every event the engine yields. */
export interface GenerationMeter {
  observe(event: EngineEvent): void;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #clock: () => number;
  readonly #success: Counter<"finished_reason">;
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #duration: Histogram<"route">;
  readonly #times: Readonly<
    Record<"first" | "between" | "whole" | "queue" | "prefill" | "decode", Histogram>
  >;
  readonly #promptTokens: Histogram;
  readonly #generationTokens: Histogram;

  /**
   * @param engine undefined while the model is loading
   * @param clock milliseconds, never going back
   * @param admitted choices that are running or waiting
   */
  constructor(engine: EngineDoor | undefined, clock: () => number, admitted: () => number) {
    this.#clock = clock;
    const registers = [this.#registry];
    const histogram = (name: string, help: string, buckets = SECONDS) =>
      new Histogram({ name: `arctic:${name}`, help, buckets, registers });
    if (engine) addEngineMetrics(this.#registry, engine);
    new Gauge({
      name: "arctic:num_choices_admitted",
      help: "Choices of requests that are running or waiting.",
      registers,
      collect() {
        this.set(admitted());
      },
    });
    this.#success = new Counter({
      name: "arctic:request_success_total",
      help: "Generations that ended, by reason.",
      labelNames: ["finished_reason"],
      registers,
    });
    for (const reason of finishReasons) this.#success.inc({ finished_reason: reason }, 0);
    this.#times = {
      first: histogram("time_to_first_token_seconds", "From arrival to the first token."),
      between: histogram("inter_token_latency_seconds", "Between two tokens of a generation."),
      whole: histogram("e2e_request_latency_seconds", "From arrival to the end of a generation."),
      queue: histogram("request_queue_time_seconds", "From arrival until the prompt is begun."),
      prefill: histogram("request_prefill_time_seconds", "From there to the first token."),
      decode: histogram("request_decode_time_seconds", "From the first token to the end."),
    };
    this.#promptTokens = histogram("request_prompt_tokens", "Tokens of a prompt.", TOKENS);
    this.#generationTokens = histogram("request_generation_tokens", "Tokens of an answer.", TOKENS);
    this.#requests = new Counter({
      name: "arctic:http_requests_total",
      help: "HTTP requests, by route template.",
      labelNames: ["method", "route", "status"],
      registers,
    });
    this.#duration = new Histogram({
      name: "arctic:http_request_duration_seconds",
      help: "Until the head of the answer was sent.",
      labelNames: ["route"],
      buckets: SECONDS,
      registers,
    });
  }

  /** Call when a generation is submitted; hand every event to the result. */
  meter(): GenerationMeter {
    const start = this.#clock();
    let last: number | undefined;
    return {
      observe: (event) => {
        const now = this.#clock();
        if (event.type === "token") {
          if (last === undefined) this.#times.first.observe((now - start) / 1_000);
          else this.#times.between.observe((now - last) / 1_000);
          last = now;
        } else if (event.type === "end") this.#end(event, (now - start) / 1_000);
      },
    };
  }

  #end(event: Extract<EngineEvent, { type: "end" }>, seconds: number): void {
    const { usage, timings } = event;
    this.#success.inc({ finished_reason: event.finishReason });
    this.#times.whole.observe(seconds);
    this.#times.queue.observe(timings.queueMs / 1_000);
    this.#times.prefill.observe(timings.prefillMs / 1_000);
    this.#times.decode.observe(timings.decodeMs / 1_000);
    this.#promptTokens.observe(usage.promptTokens);
    this.#generationTokens.observe(usage.completionTokens);
  }

  /** @param route the template of a route, never a path as a client wrote it */
  http(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.inc({ method, route, status: String(status) });
    this.#duration.observe({ route }, milliseconds / 1_000);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
