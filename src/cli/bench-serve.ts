/**
 * `arctic bench serve`: what many clients at once get. One stream alone, then several; what a long
 * prompt that arrives does to those that run; and how long a burst of requests waits.
 */

import type { Model } from "../../weights-manifest/reader.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { Random } from "../engine/random.ts";
import { engineTarget, httpTarget, type LoadResult, type LoadTarget } from "./bench-target.ts";
import type { Context } from "./context.ts";
import type { Options } from "./flags.ts";
import { openModelForRun } from "./open-engine.ts";
import { servedTokens } from "./served-tokens.ts";
import { perSecond } from "./units.ts";

type BenchOptions = Options<"bench">;

/** Ids below this are in the vocabulary of any model that is not at hand. */
const SMALL_VOCABULARY = 1_500;

interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface ServeResult {
  readonly target: string;
  readonly streams: number;
  readonly prompt_tokens: number;
  readonly gen_tokens: number;
  readonly arrival_tokens: number;
  readonly one_stream_tokens_per_second: number;
  readonly all_streams_tokens_per_second: number;
  /** All streams together over one alone. */
  readonly batching_ratio: number;
  /** The same where all have one prompt: their tokens choose the same experts, which are read once. */
  readonly same_prompt_tokens_per_second: number;
  readonly same_prompt_ratio: number;
  /** Between two tokens of a running stream, without and with a long prompt arriving. */
  readonly gap_ms: Percentiles;
  readonly gap_with_arrival_ms: Percentiles;
  readonly arrival_gap_ratio_p95: number;
  readonly arrival_first_token_ms: number;
  /** Of a burst of twice as many requests as streams. */
  readonly first_token_ms: Percentiles;
  readonly queue_ms: Percentiles | null;
}

/** Another prompt each time; the same ones in every benchmark. */
class Prompts {
  readonly #random = new Random(1);
  readonly #vocabulary: number;

  constructor(vocabulary: number) {
    this.#vocabulary = vocabulary;
  }

  next(count: number): number[] {
    // Ids below 1,000 are bytes and marks in many vocabularies.
    const least = Math.min(1_000, this.#vocabulary >> 1);
    const width = this.#vocabulary - least;
    return Array.from({ length: count }, () => least + Math.floor(this.#random.uniform() * width));
  }
}

export async function benchServe(options: BenchOptions, context: Context): Promise<ExitCode> {
  if (options.url !== undefined) {
    const target = httpTarget(options.url, options.servedModelName ?? "arctic", options.apiKey[0]);
    return await report(target, new Prompts(SMALL_VOCABULARY), options, context);
  }
  const kvTokens = (source: Model) => servedTokens(source, options.context);
  const opened = await openModelForRun(options, context, {}, kvTokens);
  try {
    const prompts = new Prompts(opened.source.config.vocabulary);
    return await report(engineTarget(opened.engine), prompts, options, context);
  } finally {
    opened.close();
  }
}

async function report(
  target: LoadTarget,
  prompts: Prompts,
  options: BenchOptions,
  context: Context,
): Promise<ExitCode> {
  const result = await measure(target, prompts, options, context);
  if (context.signal.aborted) return Exit.interrupted;
  if (options.json) await context.output.json(result);
  else await context.output.write(lines(result));
  return Exit.done;
}

async function measure(
  target: LoadTarget,
  prompts: Prompts,
  options: BenchOptions,
  { messages, signal }: Context,
): Promise<ServeResult> {
  const { streams, promptTokens, genTokens, arrivalTokens } = options;
  const stream = (maxTokens = genTokens) =>
    target.run({ tokens: prompts.next(promptTokens), maxTokens }, signal);
  const together = (count: number, maxTokens = genTokens) =>
    Promise.all(Array.from({ length: count }, () => stream(maxTokens)));

  messages.status("Warming up");
  await together(streams, 4);
  await stream(4);
  messages.status("One stream");
  const one = rate([await stream()]);
  messages.status(`${streams} streams`);
  const quiet = await together(streams);
  const all = rate(quiet);
  messages.status(`${streams} streams of one prompt`);
  const tokens = prompts.next(promptTokens);
  const alike = Array.from(
    { length: streams },
    () => target.run({ tokens, maxTokens: genTokens }, signal),
  );
  const same = rate(await Promise.all(alike));

  messages.status(`${streams} streams and a prompt of ${arrivalTokens} tokens`);
  const { running, arrival } = await withArrival(target, prompts, options, signal);
  const gaps = percentiles(quiet.flatMap((each) => gapsOf(each.pieces)));
  const between = [arrival.sentAt, arrival.pieces[0] ?? Infinity] as const;
  const arrivalGaps = percentiles(running.flatMap((each) => gapsOf(each.pieces, between)));

  messages.status(`A burst of ${2 * streams} requests`);
  const burst = await together(2 * streams, Math.min(genTokens, 16));
  messages.status("");
  const queue = burst.flatMap(({ queueMs }) => queueMs === undefined ? [] : [queueMs]);
  return {
    target: target.name,
    streams,
    prompt_tokens: promptTokens,
    gen_tokens: genTokens,
    arrival_tokens: arrivalTokens,
    one_stream_tokens_per_second: one,
    all_streams_tokens_per_second: all,
    batching_ratio: all / one,
    same_prompt_tokens_per_second: same,
    same_prompt_ratio: same / one,
    gap_ms: gaps,
    gap_with_arrival_ms: arrivalGaps,
    arrival_gap_ratio_p95: arrivalGaps.p95 / gaps.p95,
    arrival_first_token_ms: firstTokenMs(arrival),
    first_token_ms: percentiles(burst.map(firstTokenMs)),
    queue_ms: queue.length > 0 ? percentiles(queue) : null,
  };
}

/** Streams that run on until the long prompt that arrives among them has its first token. */
async function withArrival(
  target: LoadTarget,
  prompts: Prompts,
  { streams, promptTokens, arrivalTokens }: BenchOptions,
  signal: AbortSignal,
): Promise<{ running: LoadResult[]; arrival: LoadResult }> {
  const stop = new AbortController();
  const until = AbortSignal.any([signal, stop.signal]);
  const running = Array.from({ length: streams }, async (): Promise<LoadResult[]> => {
    const results: LoadResult[] = [];
    // As many tokens as the arrival may take to be read; another stream follows one that ends.
    while (!until.aborted) {
      const request = { tokens: prompts.next(promptTokens), maxTokens: 128 };
      const result = await target.run(request, signal);
      results.push(result);
    }
    return results;
  });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const arrival = await target.run({ tokens: prompts.next(arrivalTokens), maxTokens: 2 }, signal);
  stop.abort();
  return { running: (await Promise.all(running)).flat(), arrival };
}

/** Tokens a second of several streams together, from the first token of any to the last of all. */
function rate(results: readonly LoadResult[]): number {
  const first = Math.min(...results.map(({ pieces }) => pieces[0] ?? Infinity));
  const last = Math.max(...results.map(({ pieces }) => pieces.at(-1) ?? 0));
  const tokens = results.reduce((sum, each) => sum + each.tokens - 1, 0);
  return tokens / (last - first) * 1_000;
}

function gapsOf(pieces: readonly number[], [from, to] = [0, Infinity] as readonly number[]) {
  const gaps: number[] = [];
  for (let i = 1; i < pieces.length; i++) {
    const [before, at] = [pieces[i - 1] ?? 0, pieces[i] ?? 0];
    if (at >= (from ?? 0) && before <= (to ?? Infinity)) gaps.push(at - before);
  }
  return gaps;
}

function firstTokenMs({ sentAt, pieces }: LoadResult): number {
  return (pieces[0] ?? NaN) - sentAt;
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (p: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function lines(result: ServeResult): string {
  const ms = ({ p50, p95, p99 }: Percentiles) =>
    `p50 ${p50.toFixed(0)}, p95 ${p95.toFixed(0)}, p99 ${p99.toFixed(0)} ms`;
  const rows = [
    ["target", result.target],
    ["1 stream", perSecond(result.one_stream_tokens_per_second)],
    [
      `${result.streams} streams`,
      `${perSecond(result.all_streams_tokens_per_second)}, ${
        result.batching_ratio.toFixed(2)
      } x one`,
    ],
    [
      "of one prompt",
      `${perSecond(result.same_prompt_tokens_per_second)}, ${
        result.same_prompt_ratio.toFixed(2)
      } x one`,
    ],
    ["token gap", ms(result.gap_ms)],
    [
      "with arrival",
      `${ms(result.gap_with_arrival_ms)}; p95 ${result.arrival_gap_ratio_p95.toFixed(2)} x`,
    ],
    [
      "arrival",
      `${result.arrival_tokens} tokens, first token after ${
        (result.arrival_first_token_ms / 1_000).toFixed(1)
      } s`,
    ],
    ["first token", ms(result.first_token_ms)],
    ["queue", result.queue_ms === null ? "not told by the server" : ms(result.queue_ms)],
  ];
  return rows.map(([name, value]) => `${`${name}:`.padEnd(16)}${value}\n`).join("");
}
