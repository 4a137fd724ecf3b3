/** `arctic bench`: how fast a model loads, reads a prompt and generates. */

import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import type { Timings } from "../engine/events.ts";
import { Random } from "../engine/random.ts";
import type { Context } from "./context.ts";
import type { Invocation, Options } from "./flags.ts";
import { type OpenModel, openModelForRun } from "./open-engine.ts";
import { bytes, perSecond } from "./units.ts";
import { bytesReadPerToken } from "./weights-read.ts";

/** Every run reads the same prompt, so that two benchmarks can be compared. */
const PROMPT_SEED = 1;

interface Result {
  readonly adapter: string;
  readonly backend: string;
  readonly load_ms: number;
  readonly prompt_tokens: number;
  readonly gen_tokens: number;
  readonly repeat: number;
  /** Medians. */
  readonly prefill_tokens_per_second: number;
  readonly decode_tokens_per_second: number;
  readonly weight_bytes_per_token: number;
  /** Bytes a second that decoding reads from the weights. */
  readonly decode_bytes_per_second: number;
  /** What the adapter reads at best, measured by the backend itself. */
  readonly adapter_bytes_per_second: number;
  readonly bandwidth_share: number;
}

/** @throws ArcticError where the model or the device is at fault, or the context is too short */
export async function bench(invocation: Invocation<"bench">, context: Context): Promise<ExitCode> {
  const { options } = invocation;
  if (invocation.arguments[0] === "serve") {
    return await (await import("./bench-serve.ts")).benchServe(options, context);
  }
  const start = performance.now();
  const opened = await openModelForRun(options, context);
  const loadMs = performance.now() - start;
  try {
    checkRoom(options, opened.engine.contextTokens);
    const runs = await measure(options, opened, context);
    if (runs === undefined) return Exit.interrupted;
    const bandwidth = await opened.backend.measureReadBandwidth();
    const result = summarise(runs, options, opened, loadMs, bandwidth);
    if (options.json) await context.output.json(result);
    else await context.output.write(report(result));
    return Exit.done;
  } finally {
    opened.close();
  }
}

function checkRoom({ promptTokens, genTokens }: Options<"bench">, contextTokens: number): void {
  if (promptTokens + genTokens <= contextTokens) return;
  throw new ArcticError(
    "request_context_length",
    `${promptTokens} prompt tokens and ${genTokens} generated ones do not fit the model's context of ` +
      `${contextTokens} tokens. Lower --prompt-tokens or --gen-tokens.`,
  );
}

/** One run to warm up, then the measured ones; undefined when the user interrupts. */
async function measure(
  options: Options<"bench">,
  opened: OpenModel,
  context: Context,
): Promise<Timings[] | undefined> {
  const random = new Random(PROMPT_SEED);
  const { vocabulary } = opened.source.config;
  const tokens = Array.from(
    { length: options.promptTokens },
    () => Math.floor(random.uniform() * vocabulary),
  );
  const runs: Timings[] = [];
  for (let run = 0; run <= options.repeat; run++) {
    context.messages.status(run === 0 ? "Warming up" : `Run ${run} of ${options.repeat}`);
    const timings = await runOnce(tokens, options.genTokens, opened, context);
    if (timings === undefined) return undefined;
    const rates = `prefill ${perSecond(timings.prefillTokensPerSecond)}, ` +
      `decode ${perSecond(timings.decodeTokensPerSecond)}`;
    context.messages.line(`${run === 0 ? "warm-up" : `run ${run}`}: ${rates}`);
    if (run > 0) runs.push(timings);
  }
  context.messages.status("");
  return runs;
}

async function runOnce(
  tokens: readonly number[],
  maxTokens: number,
  { engine }: OpenModel,
  { signal }: Context,
): Promise<Timings | undefined> {
  const events = engine.submit({
    kind: "generate",
    tokens,
    maxTokens,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    ignoreEos: true,
    // What is measured is reading a prompt, not finding it in the cache.
    cacheSalt: crypto.randomUUID(),
  }, signal);
  for await (const event of events) {
    if (event.type === "end") return event.finishReason === "cancelled" ? undefined : event.timings;
  }
  throw new ArcticError("engine_ended", "The engine ended the request without a result.");
}

function summarise(
  runs: readonly Timings[],
  options: Options<"bench">,
  { backend, source }: OpenModel,
  loadMs: number,
  bandwidth: number,
): Result {
  const decode = median(runs.map((run) => run.decodeTokensPerSecond));
  const read = bytesReadPerToken(source.manifest);
  return {
    adapter: backend.device,
    backend: backend.kind,
    load_ms: loadMs,
    prompt_tokens: options.promptTokens,
    gen_tokens: options.genTokens,
    repeat: options.repeat,
    prefill_tokens_per_second: median(runs.map((run) => run.prefillTokensPerSecond)),
    decode_tokens_per_second: decode,
    weight_bytes_per_token: read,
    decode_bytes_per_second: read * decode,
    adapter_bytes_per_second: bandwidth,
    bandwidth_share: read * decode / bandwidth,
  };
}

/** The middle value; of an even number of them the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? 0;
  const high = sorted[Math.floor(middle)] ?? 0;
  return (low + high) / 2;
}

function report(result: Result): string {
  const rows = [
    ["adapter", `${result.adapter} (${result.backend})`],
    ["load", `${result.load_ms.toFixed(0)} ms`],
    ["prefill", `${perSecond(result.prefill_tokens_per_second)}, ${result.prompt_tokens} tokens`],
    ["decode", `${perSecond(result.decode_tokens_per_second)}, ${result.gen_tokens} tokens`],
    ["weights read", `${bytes(result.weight_bytes_per_token)} a token`],
    ["read rate", `${bytes(result.decode_bytes_per_second)}/s while decoding`],
    ["of the adapter", share(result)],
  ];
  return rows.map(([name, value]) => `${`${name}:`.padEnd(16)}${value}\n`).join("");
}

function share({ adapter_bytes_per_second: peak, bandwidth_share: part }: Result): string {
  return `${(100 * part).toFixed(1)} % of ${bytes(peak)}/s, its own measured read bandwidth`;
}
