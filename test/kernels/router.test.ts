import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { router as cpuRouter } from "../../src/backend/cpu/router.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { Router } from "../../src/backend/gpu/router.ts";
import type { Routing } from "../../src/model/backend.ts";
import { gpuMissing } from "../support/gpu.ts";
import { bound, expectClose, generator, randomVector } from "./vectors.ts";

/** Compiling for a software adapter takes seconds on a busy machine. */
setDefaultTimeout(60_000);

interface Case {
  readonly rows: number;
  readonly hidden: number;
  readonly experts: number;
  readonly k: number;
}

async function route(gpu: Gpu, of: Case, x: Float32Array, matrix: Float32Array): Promise<Routing> {
  const router = new Router(gpu, of.hidden, of.experts, of.k, of.rows + 2);
  const result = router.record(bound(gpu, x), bound(gpu, matrix), of.rows);
  return router.decode(await gpu.read(result), of.rows);
}

function expected(of: Case, x: Float32Array, matrix: Float32Array) {
  const experts = new Uint32Array(of.rows * of.k);
  const weights = new Float32Array(of.rows * of.k);
  cpuRouter(experts, weights, x, matrix, of.rows, of.hidden, of.experts, of.k);
  return { experts, weights };
}

/** A software adapter with subgroups routes small models by another kernel. */
describe.skipIf(gpuMissing !== undefined).each([
  ["subgroups", true],
  ["portable", false],
])("router (%s)", (_, subgroups) => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu({ subgroups });
  });
  afterAll(() => gpu?.close());

  const cases: Case[] = [
    { rows: 1, hidden: 1024, experts: 128, k: 2 },
    { rows: 1, hidden: 7168, experts: 128, k: 2 },
    { rows: 7, hidden: 64, experts: 8, k: 2 },
    { rows: 33, hidden: 100, experts: 6, k: 1 },
    { rows: 5, hidden: 18, experts: 5, k: 5 },
    { rows: 2, hidden: 32, experts: 4096, k: 8 },
    { rows: 3, hidden: 16, experts: 1, k: 1 },
  ];
  for (const of of cases) {
    test(JSON.stringify(of), async () => {
      const random = generator(of.experts + of.k);
      const x = randomVector(random, of.rows * of.hidden);
      const matrix = randomVector(random, of.experts * of.hidden);
      const actual = await route(gpu, of, x, matrix);
      const wanted = expected(of, x, matrix);
      expect(actual.expertsPerToken).toBe(of.k);
      expect([...actual.experts]).toEqual([...wanted.experts]);
      expectClose(actual.weights, wanted.weights, 1e-5);
    });
  }

  /** Logits as they stand: the router's rows are one-hot over x. */
  async function chosen(logits: number[], k: number): Promise<Routing> {
    const of = { rows: 1, hidden: 1, experts: logits.length, k };
    return await route(gpu, of, Float32Array.of(1), Float32Array.from(logits));
  }

  test("ties go to the lower id, wherever the lanes have them", async () => {
    expect([...(await chosen(new Array(100).fill(0.5), 4)).experts]).toEqual([0, 1, 2, 3]);
    const logits = new Array(100).fill(0);
    for (const id of [99, 17, 9, 8]) logits[id] = 2;
    logits[50] = 3;
    expect([...(await chosen(logits, 5)).experts]).toEqual([50, 8, 9, 17, 99]);
    expect([...(await chosen([-1, -0, 0, -2], 3)).experts]).toEqual([1, 2, 0]);
  });

  test("one expert keeps its probability among all, several are renormalised", async () => {
    const one = await chosen([0, Math.log(3), 0], 1);
    expect([...one.experts]).toEqual([1]);
    expect(one.weights[0]).toBeCloseTo(3 / 5, 6);
    const two = await chosen([0, Math.log(3), -9], 2);
    expect([...two.experts]).toEqual([1, 0]);
    expect(two.weights[0]).toBeCloseTo(3 / 4, 6);
    expect(two.weights[1]).toBeCloseTo(1 / 4, 6);
  });

  test("large logits do not overflow, all-negative ones are ordered", async () => {
    const large = await chosen([1000, 1001, -1000], 2);
    expect([...large.experts]).toEqual([1, 0]);
    expect(large.weights[0]! + large.weights[1]!).toBeCloseTo(1, 6);
    expect([...(await chosen([-5, -3, -4, -90], 3)).experts]).toEqual([1, 2, 0]);
  });

  test("a row that is NaN has different experts and NaN weights, and the others as before", async () => {
    for (const k of [1, 2, 5]) {
      const of = { rows: 3, hidden: 18, experts: 7, k };
      const random = generator(k);
      const x = randomVector(random, of.rows * of.hidden);
      const matrix = randomVector(random, of.experts * of.hidden);
      const healthy = await route(gpu, of, x, matrix);
      const ill = await route(gpu, of, x.slice().fill(NaN, of.hidden, 2 * of.hidden), matrix);
      const chosen = [...ill.experts.subarray(k, 2 * k)];
      expect(new Set(chosen).size).toBe(k);
      expect(chosen.every((expert) => expert < of.experts)).toBe(true);
      expect([...ill.weights.subarray(k, 2 * k)]).toEqual(new Array(k).fill(NaN));
      for (const r of [0, 2]) {
        const row = <T extends Uint32Array | Float32Array>(
          all: T,
        ) => [...all.subarray(r * k, (r + 1) * k)];
        expect(row(ill.experts)).toEqual(row(healthy.experts));
        expect(row(ill.weights)).toEqual(row(healthy.weights));
      }
    }
  });
});
