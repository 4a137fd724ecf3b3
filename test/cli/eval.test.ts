/** `arctic eval` on a random model: nothing that it says is right, but everything is counted. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ExpertHistogram } from "../../src/cli/expert-histogram.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { gpuMissing } from "../support/gpu.ts";
import { arctic, temporaryFolder } from "./arctic.ts";
import { tinyTextModel } from "./tiny-text-model.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
let model = "";
beforeAll(async () => {
  model = await tinyTextModel(folder.path, { moeEvery: 2, layers: 4 }, {
    max_position_embeddings: 4096,
  });
});
afterAll(folder.remove);

/** Unguided: under the guide even a random model's answers are queries, after many tries. */
const run = (...args: string[]) =>
  arctic(["eval", "sql", "--unguided", "--model", model, "--n", "3", ...args]);

/** The document of `eval sql --json`. */
async function document(...args: string[]) {
  const { code, stdout, stderr } = await run("--json", ...args);
  expect([code, stderr.includes("arctic:")]).toEqual([0, false]);
  return JSON.parse(stdout);
}

test("--json is one document with the score, its parts, and where every token went", async () => {
  const result = await document("--backend=cpu", "--seed=3", "--split=unseen");
  expect(result).toMatchObject({
    n: 3,
    seed: 3,
    split: "unseen",
    execution_accuracy: 0,
    exact_match: 0,
    backend: "cpu",
    model,
  });
  expect(result.valid_sql).toBe(0);
  expect(result.tokens_per_second).toBeGreaterThan(0);
  const kinds = Object.values<{ n: number }>(result.by_kind);
  expect(kinds.reduce((sum, { n }) => sum + n, 0)).toBe(3);
  expect(result.failures).toBeUndefined();

  // All tokens but the last of an answer that was cut off pass each mixture of experts.
  const passed = result.prompt_tokens + result.completion_tokens - 3;
  expect(result.expert_histogram.map(({ layer }: { layer: number }) => layer)).toEqual([1, 3]);
  for (const { tokens, counts, fractions } of result.expert_histogram) {
    expect(tokens).toBeLessThanOrEqual(passed + 3);
    expect(tokens).toBeGreaterThanOrEqual(passed);
    expect(counts).toHaveLength(8);
    expect(counts.reduce((sum: number, count: number) => sum + count, 0)).toBe(2 * tokens);
    expect(fractions).toEqual(counts.map((count: number) => count / tokens));
  }
});

test("the seed decides the questions, and the answers are greedy", async () => {
  const failures = async (...args: string[]) => (await document("--verbose", ...args)).failures;
  const first = await failures("--backend=cpu", "--seed=1");
  expect(first).toHaveLength(3);
  expect(first[0]).toMatchObject({ correct: false, valid: false });
  expect(await failures("--backend=cpu", "--seed=1")).toEqual(first);
  expect((await failures("--backend=cpu", "--seed=2"))[0].messages).not.toEqual(first[0].messages);
});

test.skipIf(gpuMissing !== undefined)("both backends route every token alike", async () => {
  const cpu = await document("--backend=cpu", "--n=1");
  const gpu = await document("--backend=gpu", "--n=1");
  expect(gpu.backend).toBe("gpu");
  expect(gpu.completion_tokens).toBe(cpu.completion_tokens);
  expect(gpu.expert_histogram).toEqual(cpu.expert_histogram);
});

test("people get a table by kind, and failures only with --verbose", async () => {
  const short = await run("--backend=cpu");
  expect(short.code).toBe(0);
  expect(short.stdout).toMatch(/^3 questions, names seen, seed 0, on .* \(cpu\)\n\nkind +asked/);
  expect(short.stdout).toMatch(/\nall +3 +0 +0\.0 % +0 +0\.0 %\n/);
  expect(short.stdout).toMatch(/\nlayer 1: \d of 8 experts used, the busiest by \d+\.\d % of/);
  expect(short.stdout).not.toContain("expected:");
  const long = await run("--backend=cpu", "--verbose");
  expect(long.stdout.match(/\nexpected: {2}SELECT/g)).toHaveLength(3);
  expect(long.stdout.match(/\ngenerated: /g)?.length).toBeGreaterThanOrEqual(3);
});

test("a histogram counts choices by layer, and has a place for experts that are never chosen", () => {
  const source = openModel(model);
  const histogram = new ExpertHistogram(source.config);
  source.close();
  const weights = Float32Array.of(0.5, 0.5, 0.5, 0.5);
  histogram.add(1, { expertsPerToken: 2, experts: Uint32Array.of(0, 7, 7, 3), weights });
  histogram.add(1, { expertsPerToken: 2, experts: Uint32Array.of(7, 0, 0, 1), weights });
  expect(histogram.layers()).toEqual([
    {
      layer: 1,
      tokens: 4,
      counts: [3, 1, 0, 1, 0, 0, 0, 3],
      fractions: [0.75, 0.25, 0, 0.25, 0, 0, 0, 0.75],
    },
    { layer: 3, tokens: 0, counts: new Array(8).fill(0), fractions: new Array(8).fill(0) },
  ]);
});
