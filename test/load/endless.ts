/**
 * One generation that never ends: a conversation about the demo shop, its schema kept as attention
 * sinks, everything else in a sliding window. Written down for each 1 % of it: time per token, memory,
 * and whether what is written is still a conversation whose SQL compiles.
 *
 *     bun test/load/endless.ts [--tokens 1000000] [--backend cpu|gpu] [--model DIR] [--window 400]
 *         [--temperature 0.7] [--min-p 0] [--dry N] [--seed 1] [--asked] [--out RESULT.json]
 *         [--svg PLOT.svg]
 *     bun test/load/endless.ts --from RESULT.json [--svg PLOT.svg]
 *
 * The model writes questions and answers; with `--asked` the questions are the generator's, and it
 * answers them. `--dry N` makes repetitions of N tokens and more unlikely ("don't repeat yourself"),
 * but not across messages. `--from` reports and draws an earlier run. Exit 1 when a bound is broken.
 */

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { defined } from "../../src/assert.ts";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { GpuBackend, openGpu } from "../../src/backend/gpu/index.ts";
import { embeddedModelFolder } from "../../src/embedded-model.ts";
import { tokenizerFiles } from "../../src/cli/open-engine.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { Penalties } from "../../src/engine/request.ts";
import { sqlMessages } from "../../src/sql/prompt.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { countBuffers, type DeviceMemory } from "./endless-device.ts";
import { type Count, Partner } from "./endless-partner.ts";
import { AskedQuestions } from "./endless-questions.ts";
import { type Bucket, drawing, report, type Run } from "./endless-report.ts";

const PARTS = 100;
/** Tokens between two looks at the resident set. */
const LOOK = 100;

const { values } = parseArgs({
  options: {
    tokens: { type: "string", default: "1000000" },
    backend: { type: "string", default: "cpu" },
    model: { type: "string" },
    window: { type: "string", default: "400" },
    temperature: { type: "string", default: "0.7" },
    "min-p": { type: "string", default: "0" },
    dry: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    asked: { type: "boolean", default: false },
    out: { type: "string" },
    svg: { type: "string" },
    from: { type: "string" },
  },
});

async function open() {
  const source = openModel(values.model ?? embeddedModelFolder() ?? "");
  const options = backendOptions(source);
  const gpu = values.backend === "gpu" ? await openGpu() : undefined;
  const device = gpu && countBuffers(gpu.device);
  const backend = gpu
    ? new GpuBackend(gpu, source, options)
    : await openCpuBackend(source, options);
  const tokenizer = Tokenizer.load(tokenizerFiles(source) ?? {});
  const engine = await Engine.open(source, backend, {
    tokenizer: {
      textStream: (prompt) => tokenizer.detokenizer(prompt, { skipSpecial: false }),
    },
  });
  const close = () => {
    engine.close();
    source.close();
  };
  return { engine, backend, tokenizer, device, close };
}

type Opened = Awaited<ReturnType<typeof open>>;

async function generate(
  { engine, backend, tokenizer, device }: Opened,
  partner: Partner,
): Promise<Run> {
  const asked = values.asked ? new AskedQuestions(tokenizer, () => partner.ask()) : undefined;
  const first = asked ? partner.ask() : "How many orders did each customer place?";
  const [system, user] = sqlMessages(first);
  const prompt = tokenizer.encodeChat([system!, user!]);
  // The whole system message and the line break after it.
  const sinks = prompt.indexOf(tokenizer.eosToken ?? -1) + 2;
  const window = Number(values.window);
  const tokens = Number(values.tokens);
  const events = engine.submit({
    kind: "generate",
    tokens: prompt,
    maxTokens: tokens,
    ignoreEos: true,
    attention: { sinks, window },
    sampling: {
      temperature: Number(values.temperature),
      topK: 0,
      topP: 1,
      minP: Number(values["min-p"]),
      seed: Number(values.seed),
      ...(values.dry !== "0" && { penalties: dontRepeat(tokenizer) }),
    },
    ...(asked && { constraint: asked }),
  });
  const filledAt = sinks + window + 1 - prompt.length;
  if (filledAt <= 0) throw new Error(`The prompt alone fills a window of ${window} tokens.`);
  const recorder = new Recorder({ filledAt, tokens, engine, device, partner });
  let end: Extract<EngineEvent, { type: "end" }> | undefined;
  for await (const event of events) {
    if (event.type === "token") recorder.token(event.text);
    else if (event.type === "end") end = event;
  }
  const { warmUp, buckets, recent } = await recorder.finished();
  return {
    device: engine.device,
    backend: backend.kind,
    promptTokens: prompt.length,
    sinks,
    window,
    filledAt,
    asked: values.asked,
    forcedTokens: asked?.forcedTokens ?? 0,
    temperature: Number(values.temperature),
    finishReason: end?.finishReason ?? "none",
    completionTokens: end?.usage.completionTokens ?? 0,
    wantedTokens: tokens,
    evictedTokens: engine.stats().evictedTokens,
    memory: backend.memory(),
    pagesTotal: engine.stats().pagesTotal,
    warmUp,
    buckets,
    lastMessages: recent,
  };
}

function dontRepeat(tokenizer: Tokenizer): Penalties {
  const markers = tokenizer.encodeChat([{ role: "user", content: "x" }])
    .filter((token) => tokenizer.isSpecial(token));
  const allowedLength = Number(values.dry);
  const dry = { multiplier: 0.8, base: 1.75, allowedLength, breakers: new Set(markers) };
  return { repetition: 1, frequency: 0, presence: 0, dry, lastTokens: Number(values.window) };
}

interface RecorderOptions {
  /** Tokens generated when the window is full, and in all. */
  readonly filledAt: number;
  readonly tokens: number;
  readonly engine: Engine;
  readonly device: DeviceMemory | undefined;
  readonly partner: Partner;
}

/** A part of the run, and what its text will turn out to be. */
interface Part {
  readonly bucket: Omit<Bucket, "turns">;
  readonly count: Promise<Count>;
}

/** Takes the time of every token, and a look at everything else after each part of the run. */
class Recorder {
  /** The first is what came before the window was full. */
  readonly #parts: Part[] = [];
  readonly #partner: Partner;
  readonly #engine: Engine;
  readonly #device: DeviceMemory | undefined;
  readonly #filledAt: number;
  readonly #each: number;
  readonly #ms: Float64Array;
  readonly #resident: number[] = [];
  #inPart = 0;
  #seen = 0;
  #last = performance.now();
  #cpu = process.cpuUsage();

  constructor({ filledAt, tokens, engine, device, partner }: RecorderOptions) {
    this.#partner = partner;
    this.#engine = engine;
    this.#device = device;
    this.#filledAt = filledAt;
    this.#each = Math.floor((tokens - filledAt) / PARTS);
    this.#ms = new Float64Array(Math.max(this.#each, filledAt));
  }

  token(text: string): void {
    this.#partner.hear(text);
    const now = performance.now();
    this.#ms[this.#inPart++] = now - this.#last;
    this.#last = now;
    this.#seen++;
    if (this.#inPart % LOOK === 1) this.#resident.push(process.memoryUsage.rss());
    const isFull = this.#seen > this.#filledAt && this.#inPart === this.#each;
    if (this.#seen !== this.#filledAt && !isFull) return;
    this.#close();
    const percent = this.#parts.length - 1;
    if (percent > 0 && percent % 10 === 0) console.error(`${percent} %`);
  }

  async finished() {
    const counts = await Promise.all(this.#parts.map(({ count }) => count));
    const buckets = this.#parts.map(({ bucket }, i): Bucket => {
      return { ...bucket, turns: defined(counts[i], "a part's count").turns };
    });
    const [warmUp, ...parts] = buckets;
    return { warmUp, buckets: parts, recent: counts.at(-1)?.recent ?? [] };
  }

  #close(): void {
    const ms = this.#ms.subarray(0, this.#inPart);
    const mean = ms.reduce((sum, each) => sum + each, 0) / ms.length;
    ms.sort();
    const { user, system } = process.cpuUsage(this.#cpu);
    const { pagesUsed, evictedTokens } = this.#engine.stats();
    const bucket = {
      tokens: this.#seen,
      medianMs: ms[ms.length >> 1] ?? NaN,
      meanMs: mean,
      cpuMs: (user + system) / 1_000 / ms.length,
      residentBytes: {
        least: Math.min(...this.#resident),
        mean: this.#resident.reduce((sum, each) => sum + each, 0) / this.#resident.length,
        most: Math.max(...this.#resident),
      },
      pagesUsed,
      evictedTokens,
      ...(this.#device && { deviceBuffers: this.#device.buffers, deviceBytes: this.#device.bytes }),
    };
    this.#parts.push({ bucket, count: this.#partner.count() });
    this.#inPart = 0;
    this.#resident.length = 0;
    this.#cpu = process.cpuUsage();
  }
}

async function measured(): Promise<Run> {
  const opened = await open();
  const partner = await Partner.open(`endless:${values.seed}`);
  const run = await generate(opened, partner);
  partner.close();
  opened.close();
  return run;
}

const run = values.from === undefined
  ? await measured()
  : JSON.parse(readFileSync(values.from, "utf8")) as Run;
if (values.out !== undefined) writeFileSync(values.out, JSON.stringify(run, null, 1));
if (values.svg !== undefined) writeFileSync(values.svg, drawing(run));
const { lines, broken } = report(run);
for (const line of [...lines, ...broken]) console.log(line);
process.exitCode = broken.length === 0 ? 0 : 1;
