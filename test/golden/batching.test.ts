/**
 * On both backends: a request has the same tokens alone and in a batch, greedy and drawn with a seed,
 * also where prompts are cut to pieces, beginnings come from the cache, pages run out and windows slide.
 */

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import { convert } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { gpuMissing } from "../support/gpu.ts";
import { tinyModel, tinyTokens, writeCheckpoint } from "./tiny-model.ts";

const work = mkdtempSync(join(tmpdir(), "arctic-batching-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const model = tinyModel({ layers: 3 });
writeCheckpoint(model, join(work, "checkpoint"));
await convert(join(work, "checkpoint"), join(work, "model"), {});
const text = tinyTokens(model, 90);

const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
const drawn = { ...greedy, temperature: 0.8, topP: 0.95 };
const penalties = { repetition: 1.2, frequency: 0.1, presence: 0.2, lastTokens: 64 };

function request(from: number, to: number, overrides: Partial<GenerateRequest>): GenerateRequest {
  const tokens = text.slice(from, to);
  return {
    kind: "generate",
    tokens,
    maxTokens: 20,
    sampling: greedy,
    ignoreEos: true,
    ...overrides,
  };
}

const requests: readonly GenerateRequest[] = [
  request(0, 3, { maxTokens: 40 }),
  request(0, 40, {}),
  request(0, 60, { sampling: { ...drawn, seed: 11 } }),
  request(10, 11, { sampling: { ...drawn, seed: 12 }, maxTokens: 35 }),
  request(5, 50, { attention: { sinks: 2, window: 20 } }),
  request(5, 9, { attention: { sinks: 0, window: 9 }, sampling: { ...drawn, seed: 13 } }),
  request(0, 90, {}),
  request(30, 36, { sampling: { ...greedy, penalties }, maxTokens: 30 }),
];

async function run(engine: Engine, each: GenerateRequest): Promise<number[]> {
  const events = await Array.fromAsync(engine.submit(each));
  return events.flatMap((event) => event.type === "token" ? [event.token] : []);
}

async function withEngine<T>(
  backend: "cpu" | "gpu",
  options: { chunkTokens: number; kvTokens?: number },
  use: (engine: Engine) => Promise<T>,
): Promise<T> {
  const source = openModel(join(work, "model"));
  const open = backend === "gpu" ? openGpuBackend : openCpuBackend;
  const engine = await Engine.open(
    source,
    await open(source, backendOptions(source, options)),
    options,
  );
  try {
    return await use(engine);
  } finally {
    engine.close();
    source.close();
  }
}

for (const backend of ["cpu", "gpu"] as const) {
  describe.skipIf(backend === "gpu" && gpuMissing !== undefined)(backend, () => {
    test("a batch gives each request the tokens that it has alone", async () => {
      const alone: number[][] = [];
      for (const each of requests) {
        alone.push(await withEngine(backend, { chunkTokens: 256 }, (engine) => run(engine, each)));
      }
      const together = (options: { chunkTokens: number; kvTokens?: number }) =>
        withEngine(backend, options, async (engine) => {
          const first = await Promise.all(requests.map((each) => run(engine, each)));
          // Once more, now that beginnings lie in the cache.
          const again = await Promise.all(requests.map((each) => run(engine, each)));
          expect(engine.stats().prefixHits).toBeGreaterThan(0);
          return [first, again];
        });
      for (const options of [{ chunkTokens: 256, kvTokens: 2_000 }, { chunkTokens: 13 }]) {
        const [first, again] = await together(options);
        expect(first).toEqual(alone);
        expect(again).toEqual(alone);
      }
    });
  });
}
