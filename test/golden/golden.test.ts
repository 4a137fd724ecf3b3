/**
 * The whole path, from checkpoint to log-probabilities, against float64: convert, open, score and
 * generate, on both backends. Tiny models of the project's own, and the reference cases beside the
 * checkout where they are.
 */

import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convert } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { AttentionWindow } from "../../src/engine/request.ts";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { largestDifference, Reference } from "./reference.ts";
import { tinyModel, type TinyShape, tinyTokens, writeCheckpoint } from "./tiny-model.ts";

const TOLERANCE = 2e-3;
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
const work = mkdtempSync(join(tmpdir(), "arctic-golden-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

type BackendName = "gpu" | "cpu";
const backends: BackendName[] = ["cpu", "gpu"];

async function withEngine<T>(
  folder: string,
  backend: BackendName,
  use: (engine: Engine) => Promise<T>,
  chunkTokens = 256,
): Promise<T> {
  const model = openModel(folder);
  const options = backendOptions(model, { chunkTokens });
  const open = backend === "gpu" ? openGpuBackend : openCpuBackend;
  const engine = await Engine.open(model, await open(model, options), { chunkTokens });
  try {
    return await use(engine);
  } finally {
    engine.close();
    model.close();
  }
}

async function score(engine: Engine, tokens: readonly number[], attention?: AttentionWindow) {
  const rows: Float32Array[] = [];
  for await (
    const event of engine.submit({ kind: "score", tokens, ...(attention && { attention }) })
  ) {
    if (event.type === "scored") rows[event.position] = event.logprobs;
  }
  return rows;
}

async function greedy(engine: Engine, tokens: readonly number[], maxTokens: number) {
  const generated: number[] = [];
  const request = { kind: "generate", tokens, maxTokens, sampling: GREEDY } as const;
  for await (const event of engine.submit(request)) {
    if (event.type === "token") generated.push(event.token);
  }
  return generated;
}

function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) {
    if ((row[i] as number) > (row[best] as number)) best = i;
  }
  return best;
}

const tiny: Record<string, Partial<TinyShape>> = {
  "as the real one": {},
  "top-1, every second layer dense": { topK: 1, moeEvery: 2, layers: 4 },
  "serial layers": { parallel: false },
  "tied embeddings": { tied: true },
  "small embeddings": { embed: 1 / 256 },
  "subnormal codes alone": { subnormal: true },
  "odd widths": { hidden: 36, heads: 2, kvHeads: 1, intermediate: 20, vocabulary: 50 },
};

for (const [name, shape] of Object.entries(tiny)) {
  describe(`a tiny model, ${name}`, async () => {
    const model = tinyModel(shape);
    const tokens = tinyTokens(model, 40);
    const folder = join(work, name);
    writeCheckpoint(model, join(work, `${name} checkpoint`));
    await convert(join(work, `${name} checkpoint`), folder, {});
    const full = new Reference(model).run(tokens);
    const sinks = new Reference(model).run(tokens, 4, 16);

    for (const backend of backends) {
      test(`${backend}: log-probabilities in one piece, in odd chunks, token by token`, async () => {
        for (const chunk of [256, 7, 1]) {
          const rows = await withEngine(folder, backend, (engine) => score(engine, tokens), chunk);
          expect(largestDifference(full, rows)).toBeLessThan(TOLERANCE);
          expect(rows.map(argmax)).toEqual(full.map(argmax));
        }
      });
      test(`${backend}: attention sinks, in one piece, in odd chunks, token by token`, async () => {
        const window = { sinks: 4, window: 16 };
        for (const chunk of [256, 7, 1]) {
          const run = (engine: Engine) => score(engine, tokens, window);
          const rows = await withEngine(folder, backend, run, chunk);
          expect(largestDifference(sinks, rows)).toBeLessThan(TOLERANCE);
        }
      });
    }
  });
}

const cases = fileURLToPath(new URL("../../../shared/cases/", import.meta.url));
const caseNames = existsSync(cases)
  ? readdirSync(cases).filter((name) => name.startsWith("arctic"))
  : [];
if (caseNames.length === 0) {
  console.warn("skip: the reference cases are not beside the checkout (../shared/cases)");
  test.skip("reference cases", () => {});
}

interface Golden {
  readonly tokens: number[];
  readonly grid: string | null;
  readonly greedy: { prompt: number[]; tokens: number[] }[];
}

function goldenLogprobs(folder: string, file: string, vocabulary: number): Float64Array[] {
  const logits = new Float32Array(Uint8Array.from(readFileSync(join(folder, file))).buffer);
  return Array.from({ length: logits.length / vocabulary }, (_, t) => {
    const row = Float64Array.from(logits.subarray(t * vocabulary, (t + 1) * vocabulary));
    const top = row.reduce((a, b) => Math.max(a, b));
    const z = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
    return row.map((x) => x - z);
  });
}

const readJson = <T>(...path: string[]): T => JSON.parse(readFileSync(join(...path), "utf8"));

for (const name of caseNames) {
  describe(`reference case ${name}`, async () => {
    const source = join(cases, name);
    const folder = join(work, name);
    await convert(source, folder, {});
    const golden = readJson<Golden>(source, "golden.json");
    const { vocab_size } = readJson<{ vocab_size: number }>(source, "config.json");
    const expected = goldenLogprobs(source, "golden.logits.f32", vocab_size);

    for (const backend of backends) {
      if (!golden.grid) {
        test(`${backend}: rounding to FP8 costs at most 1.5 x what 1x128 blocks do`, async () => {
          const block = readJson<{ against_bf16: { kl_mean: number } }>(
            source,
            "golden.fp8_block128.json",
          );
          const rows = await withEngine(folder, backend, (e) => score(e, golden.tokens));
          const kl = expected.map((p, t) =>
            p.reduce((sum, lp, i) => sum + Math.exp(lp) * (lp - (rows[t]?.[i] as number)), 0)
          );
          const mean = kl.reduce((a, b) => a + b, 0) / kl.length;
          expect(mean).toBeLessThan(1.5 * block.against_bf16.kl_mean);
        });
        continue;
      }
      test(`${backend}: log-probabilities and greedy tokens`, async () => {
        await withEngine(folder, backend, async (engine) => {
          const rows = await score(engine, golden.tokens);
          expect(largestDifference(expected, rows)).toBeLessThan(TOLERANCE);
          expect(rows.map(argmax)).toEqual(expected.map(argmax));
          for (const { prompt, tokens } of golden.greedy) {
            expect(await greedy(engine, prompt, tokens.length)).toEqual(tokens);
          }
        });
      });
      if (existsSync(join(source, "sinks.json"))) {
        test(`${backend}: attention sinks`, async () => {
          const run = readJson<{ tokens: number[]; sinks: number; window: number }>(
            source,
            "sinks.json",
          );
          const want = goldenLogprobs(source, "sinks.logits.f32", vocab_size);
          for (const chunk of [256, 7]) {
            const rows = await withEngine(folder, backend, (e) => score(e, run.tokens, run), chunk);
            expect(largestDifference(want, rows)).toBeLessThan(TOLERANCE);
            expect(rows.map(argmax)).toEqual(want.map(argmax));
          }
        });
      }
    }
  });
}
