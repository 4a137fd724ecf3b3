/** Series that are the engine's own numbers, read when /metrics is asked. */

import { Counter, Gauge, type Registry } from "prom-client";
import type { EngineDoor, EngineStats } from "../engine/door.ts";

type Reading = readonly [name: string, help: string, read: (stats: EngineStats) => number];

const gauges: readonly Reading[] = [
  ["num_requests_running", "Requests in the batch.", (s) => s.running],
  ["num_requests_waiting", "Requests that wait for room in the batch.", (s) => s.waiting],
  [
    "kv_cache_usage_perc",
    "Share of the KV cache's pages that requests hold, 1 being all.",
    (s) => s.pagesTotal === 0 ? 0 : s.pagesUsed / s.pagesTotal,
  ],
  ["kv_cache_pages_cached", "Pages that only the prefix cache holds.", (s) => s.pagesCached],
];

const counters: readonly Reading[] = [
  ["engine_steps_total", "Forward passes.", (s) => s.steps],
  [
    "prompt_tokens_total",
    "Prompt tokens of admitted requests, cached ones included.",
    (s) => s.promptTokens,
  ],
  ["generation_tokens_total", "Tokens generated.", (s) => s.generatedTokens],
  ["num_preemptions_total", "Requests that gave up their pages to others.", (s) => s.preemptions],
  ["prefix_cache_queries_total", "Tokens looked up in the prefix cache.", (s) => s.prefixQueries],
  ["prefix_cache_hits_total", "Tokens found in the prefix cache.", (s) => s.prefixHits],
  ["sink_evicted_tokens_total", "Tokens that left a sliding window.", (s) => s.evictedTokens],
  [
    "numerical_errors_total",
    "Generations that ended because the model computed no numbers.",
    (s) => s.numericalErrors,
  ],
];

export function addEngineMetrics(registry: Registry, engine: EngineDoor): void {
  const registers = [registry];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name: `arctic:${name}`,
      help,
      registers,
      collect() {
        this.set(read(engine.stats()));
      },
    });
  }
  for (const [name, help, read] of counters) {
    new Counter({
      name: `arctic:${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(engine.stats()));
      },
    });
  }
}
