import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { kvWrite as cpuKvWrite } from "../../src/backend/cpu/kv-write.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { kvBuffers, kvWrite } from "../../src/backend/gpu/kv-write.ts";
import { gpuMissing } from "../support/gpu.ts";
import { attentionCase, load } from "./attention-case.ts";
import { bound, floats } from "./vectors.ts";

let gpu: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

const runs = [
  { position: 0, rows: 5, sinks: 2, window: 30 },
  { position: 13, rows: 9, sinks: 4, window: 10 }, // the ring wraps at position 23
  { position: 1_000, rows: 3, sinks: 3, window: 6 },
  { position: 77, rows: 1, sinks: 0, window: 5 },
];

/** Compares what nobody wrote, too: NaN is not equal to itself. */
function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

describe.skipIf(gpuMissing !== undefined)("kv-write", () => {
  for (const [kvHeads, headDim] of [[2, 16], [4, 64], [3, 18]] as const) {
    test(`stores each row where it belongs: ${kvHeads} heads of ${headDim}`, async () => {
      const shape = { heads: kvHeads * 2, kvHeads, headDim, pageTokens: 4 };
      const of = attentionCase(shape, runs, headDim);
      const loaded = load(gpu, of);
      kvWrite(gpu, loaded.kv, bound(gpu, of.qkv), loaded.rows, shape);
      const width = (shape.heads + 2 * kvHeads) * headDim;
      for (const { view, row, rows, position } of loaded.rows.runs) {
        const qkv = of.qkv.subarray(row * width, (row + rows) * width);
        cpuKvWrite(of.kv, qkv, view, position, rows, shape);
      }
      expect(bits(await floats(gpu, loaded.kv.keys))).toEqual(bits(of.kv.keys));
      expect(bits(await floats(gpu, loaded.kv.values))).toEqual(bits(of.kv.values));
    });
  }

  test("pages that no binding holds are refused, with the context that would fit", () => {
    const shape = { heads: 8, kvHeads: 8, headDim: 128, pageTokens: 16 };
    expect(() => kvBuffers(gpu, "layer 0", 2_049, shape)).toThrow("32768 tokens or fewer");
  });

  test("fresh pages are zero", async () => {
    const shape = { heads: 2, kvHeads: 1, headDim: 16, pageTokens: 16 };
    const { keys, values } = kvBuffers(gpu, "layer 0", 3, shape);
    expect(await floats(gpu, keys)).toEqual(new Float32Array(3 * 16 * 16));
    expect(await floats(gpu, values)).toEqual(new Float32Array(3 * 16 * 16));
  });
});
