import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rope as cpuRope, ropeTable as cpuRopeTable } from "../../src/backend/cpu/rope.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { rope, ropeTable } from "../../src/backend/gpu/rope.ts";
import { gpuMissing } from "../support/gpu.ts";
import { attentionCase, load, THETA } from "./attention-case.ts";
import { bound, expectClose, floats } from "./vectors.ts";

let gpu: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

describe.skipIf(gpuMissing !== undefined)("rope", () => {
  const shapes = [
    { heads: 4, kvHeads: 2, headDim: 16 },
    { heads: 16, kvHeads: 4, headDim: 64 },
    { heads: 7, kvHeads: 1, headDim: 128 },
    { heads: 3, kvHeads: 3, headDim: 18 },
  ];
  for (const shape of shapes) {
    test(`rotates queries and nothing else: ${JSON.stringify(shape)}`, async () => {
      const of = attentionCase({ ...shape, pageTokens: 4 }, [
        { position: 0, rows: 3, sinks: 2, window: 9 },
        { position: 500, rows: 2, sinks: 2, window: 9 }, // slot 11, whatever the position
        { position: 9, rows: 4, sinks: 0, window: 10 }, // crosses into eviction
      ], shape.headDim);
      const width = (shape.heads + 2 * shape.kvHeads) * shape.headDim;
      const slots = Uint32Array.from([0, 1, 2, 11, 11, 9, 10, 10, 10]);
      const expected = of.qkv.slice();
      cpuRope(
        expected,
        slots,
        cpuRopeTable(of.slots, shape.headDim, THETA),
        shape.heads,
        width,
      );
      const { rows, table } = load(gpu, of);
      const qkv = bound(gpu, of.qkv);
      rope(gpu, qkv, rows, table, of.shape);
      expectClose(await floats(gpu, qkv), expected, 1e-6);
    });
  }

  test("a table that no binding holds is refused, with the context that would fit", () => {
    expect(() => ropeTable(gpu, 2 ** 20, 128, THETA)).toThrow(/context of \d+ tokens or fewer/);
  });
});
