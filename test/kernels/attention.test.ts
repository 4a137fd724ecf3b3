import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Attention } from "../../src/backend/gpu/attention.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { rowsBeforeEviction } from "../../src/backend/gpu/rows.ts";
import { gpuMissing } from "../support/gpu.ts";
import { attentionCase, expectedAttention, load } from "./attention-case.ts";
import { bound, expectClose, floats, unwritten } from "./vectors.ts";

/** Compiling for a software adapter takes seconds on a busy machine. */
setDefaultTimeout(60_000);

let gpu: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

/** Dispatched kernels, in order. */
function watch(gpu: Gpu): { gpu: Gpu; kernels: string[] } {
  const kernels: string[] = [];
  const watched = new Proxy(gpu, {
    get(target, name) {
      if (name === "dispatch") {
        return (...call: Parameters<Gpu["dispatch"]>) => {
          kernels.push(call[0].kernel);
          target.dispatch(...call);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { gpu: watched, kernels };
}

describe.skipIf(gpuMissing !== undefined)("attention", () => {
  test("rows of a prompt go together, all others one by one, and every row is written", async () => {
    const shape = { heads: 8, kvHeads: 2, headDim: 32, pageTokens: 4 };
    const of = attentionCase(shape, [
      { position: 40, rows: 1, sinks: 2, window: 50 },
      { position: 500, rows: 3, sinks: 2, window: 10 },
      { position: 0, rows: 6, sinks: 2, window: 50 },
      { position: 5, rows: 12, sinks: 4, window: 7 }, // 7 rows before eviction, 5 after
      { position: 11, rows: 3, sinks: 4, window: 7 }, // one before, two after
      { position: 9, rows: 1, sinks: 0, window: 100 },
      { position: 0, rows: 2, sinks: 0, window: 100 },
    ], 3);
    const { rows, kv, table } = load(gpu, of);
    const out = unwritten(gpu, rows.count * shape.heads * shape.headDim);
    const watched = watch(gpu);
    const attention = new Attention(watched.gpu, shape);
    attention.record({ out, qkv: bound(gpu, of.qkv), kv, rows, table });
    expectClose(await floats(gpu, out), expectedAttention(of), 2e-5);
    const used = watched.kernels.filter((kernel) => kernel !== "attention-decode.combine");
    expect(used.map((kernel) => kernel.split(".")[0])).toEqual([
      "attention-decode",
      "attention-prefill",
      "attention-prefill",
      "attention-decode",
      "attention-prefill",
    ]);
  });

  test("rows before eviction: position + r <= sinks + window", () => {
    const view = { pages: new Uint32Array(8), sinks: 4, window: 7, ring: 20 };
    const before = (position: number, rows: number) =>
      rowsBeforeEviction({ view, position, rows, row: 0 });
    expect(before(0, 5)).toBe(5);
    expect(before(0, 12)).toBe(12);
    expect(before(0, 13)).toBe(12);
    expect(before(11, 2)).toBe(1);
    expect(before(12, 2)).toBe(0);
    expect(before(99, 2)).toBe(0);
  });

  test("a head wider than a workgroup is refused by name", () => {
    const shape = { heads: 1, kvHeads: 1, headDim: 258, pageTokens: 16 };
    expect(() => new Attention(gpu, shape)).toThrow("258 dimensions");
  });
});
