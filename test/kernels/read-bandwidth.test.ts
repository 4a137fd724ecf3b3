import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readBandwidth as cpuReadBandwidth } from "../../src/backend/cpu/read-bandwidth.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { measureReadBandwidth, readBandwidth } from "../../src/backend/gpu/read-bandwidth.ts";
import { gpuMissing } from "../support/gpu.ts";
import { bound, generator } from "./vectors.ts";

setDefaultTimeout(60_000);

let gpu: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

describe.skipIf(gpuMissing !== undefined)("read-bandwidth", () => {
  const sizes = [[1, 64, 1], [63, 64, 1], [64, 64, 16], [1000, 128, 1], [4097, 256, 16]] as const;
  for (const [count, invocations, stride] of sizes) {
    test(`${count} reads ${stride} words apart by ${invocations} invocations`, async () => {
      const random = generator(count);
      const x = Uint32Array.from({ length: stride * count }, () => random() * 2 ** 32);
      const sums = bound(gpu, new Uint32Array(invocations).fill(7));
      readBandwidth(gpu, sums, bound(gpu, x), stride);
      const expected = new Uint32Array(invocations);
      cpuReadBandwidth(expected, x, stride);
      expect(new Uint32Array(await gpu.read(sums))).toEqual(expected);
    });
  }

  test("the measured rate is the bytes of one binding by the best time", async () => {
    let time = 0;
    const durations = [9, 5, 7, 8, 6];
    let call = 0;
    const now = () => time += call++ % 2 === 1 ? durations[(call >> 1) - 1]! : 0;
    expect(await measureReadBandwidth(gpu, now)).toBeCloseTo(gpu.bindingBytes / 5 * 1000, 0);
  });
});
