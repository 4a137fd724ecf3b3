import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmsNorm as cpuRmsNorm } from "../../src/backend/cpu/rms-norm.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { rmsNorm } from "../../src/backend/gpu/rms-norm.ts";
import { gpuMissing } from "../support/gpu.ts";
import { bound, expectClose, floats, generator, randomVector, unwritten } from "./vectors.ts";

/** Compiling for a software adapter takes seconds on a busy machine. */
setDefaultTimeout(60_000);

describe.skipIf(gpuMissing !== undefined).each([
  ["subgroups", true],
  ["portable", false],
])("rms-norm (%s)", (_, subgroups) => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu({ subgroups });
  });
  afterAll(() => gpu?.close());

  for (const width of [2, 36, 64, 1000, 1024, 7168]) {
    for (const count of [1, 2]) {
      test(`width ${width}, ${count} weights`, async () => {
        const rows = 3, eps = 1e-5;
        const random = generator(width + count);
        const x = randomVector(random, rows * width);
        const weights = Array.from({ length: count }, () => randomVector(random, width));
        const out = weights.map(() => unwritten(gpu, rows * width));
        const bindings = weights.map((weight) => bound(gpu, weight));
        rmsNorm(gpu, out, bound(gpu, x), bindings, rows, width, eps);
        for (const [i, weight] of weights.entries()) {
          const expected = new Float32Array(rows * width);
          cpuRmsNorm(expected, x, weight, rows, width, eps);
          expectClose(await floats(gpu, out[i]!), expected, 2e-6);
        }
      });
    }
  }

  test("eps is inside the root: a zero row stays zero, a tiny one is not blown up", async () => {
    const width = 64;
    const x = new Float32Array(2 * width).fill(0, 0, width).fill(1e-4, width);
    const out = unwritten(gpu, 2 * width);
    const weight = bound(gpu, new Float32Array(width).fill(1));
    rmsNorm(gpu, [out], bound(gpu, x), [weight], 2, width, 1e-5);
    const actual = await floats(gpu, out);
    expectClose(actual.subarray(0, width), new Float32Array(width), 0);
    const expected = new Float32Array(width).fill(1e-4 / Math.sqrt(1e-8 + 1e-5));
    expectClose(actual.subarray(width), expected, 1e-6);
  });

  test("takes one or two weights, not three", () => {
    const x = bound(gpu, new Float32Array(64));
    expect(() => rmsNorm(gpu, [x, x, x], x, [x, x, x], 1, 64, 1e-5)).toThrow("one or two");
  });
});
