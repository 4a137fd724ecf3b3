/**
 * Attention sinks against the only other way to the same sight of the past, which is to read the
 * window again for every token: milliseconds a token of both, in turn, and their ratio.
 *
 *     bun test/load/recompute.ts [--backend cpu|gpu] [--model DIR] [--windows 1024,4096] [--sinks 4]
 *         [--tokens 64] [--rounds 5]
 *
 * Without --model it is the embedded one. Its context is taken to be as long as the window needs: what
 * it writes there does not matter here. A token sees sinks + window + 1 entries, so that many tokens
 * are read again for each; the prefix cache is kept from finding any of them.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { embeddedModelFolder } from "../../src/embedded-model.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { EndEvent } from "../../src/engine/events.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import type { WeightSource } from "../../src/model/backend.ts";
import { seededRandom } from "../../src/sql/random.ts";
import { openModel } from "../../weights-manifest/reader.ts";

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "cpu" },
    model: { type: "string" },
    windows: { type: "string", default: "1024,4096" },
    sinks: { type: "string", default: "4" },
    tokens: { type: "string", default: "64" },
    rounds: { type: "string", default: "5" },
  },
});
const sinks = Number(values.sinks);
const rounds = Number(values.rounds);
const windows = values.windows.split(",").map(Number);
const random = seededRandom("recompute");
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

/** The model with room for `contextTokens`. */
function lengthened(model: WeightSource, contextTokens: number): WeightSource {
  return {
    config: { ...model.config, contextTokens },
    tensor: (name) => model.tensor(name),
    expert: (layer, expert) => model.expert(layer, expert),
    withBytes: (shard, offset, bytes, use) => model.withBytes(shard, offset, bytes, use),
    mapped: (shard, offset, bytes) => model.mapped(shard, offset, bytes),
  };
}

interface Answer {
  readonly end: EndEvent;
  /** Milliseconds between tokens. */
  readonly steps: readonly number[];
}

async function run(engine: Engine, request: Partial<GenerateRequest>, prompt: number) {
  const tokens = Array.from({ length: prompt }, () => random.int(3, engine.vocabulary - 3));
  const steps: number[] = [];
  let end: EndEvent | undefined;
  let last: number | undefined;
  for await (
    const event of engine.submit({
      kind: "generate",
      tokens,
      sampling: GREEDY,
      ignoreEos: true,
      cacheSalt: String(random.next()),
      ...request,
    })
  ) {
    const now = performance.now();
    if (event.type === "end") end = event;
    if (event.type !== "token") continue;
    if (last !== undefined) steps.push(now - last);
    last = now;
  }
  return { end, steps } as Answer;
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1] ?? NaN;
}

const source = openModel(values.model ?? embeddedModelFolder() ?? "");
const longest = lengthened(source, sinks + Math.max(...windows) + 2);
const open = values.backend === "gpu" ? openGpuBackend : openCpuBackend;
const engine = await Engine.open(longest, await open(longest, backendOptions(longest)));
console.log(`${engine.device} (${values.backend}), ${sinks} sinks, ${rounds} rounds`);
for (const window of windows) {
  const entries = sinks + window + 1;
  const slide = () =>
    run(engine, { maxTokens: Number(values.tokens), attention: { sinks, window } }, entries);
  const recompute = () => run(engine, { maxTokens: 1 }, entries);
  await slide();
  await recompute();
  const sliding: number[] = [];
  const again: number[] = [];
  for (let round = 0; round < rounds; round++) {
    sliding.push(median((await slide()).steps));
    again.push((await recompute()).end.timings.prefillMs);
  }
  const ratios = again.map((ms, i) => ms / (sliding[i] as number));
  console.log(
    `W = ${window}: sinks ${median(sliding).toFixed(2)} ms a token ` +
      `(least ${Math.min(...sliding).toFixed(2)}), recomputed ${median(again).toFixed(0)} ms ` +
      `(least ${Math.min(...again).toFixed(0)}), ratio ${median(ratios).toFixed(0)} ` +
      `(${Math.min(...ratios).toFixed(0)} to ${Math.max(...ratios).toFixed(0)})`,
  );
}
engine.close();
source.close();
process.exitCode = 0;
