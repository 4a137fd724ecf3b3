import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Attention } from "../../src/backend/gpu/attention.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { isSoftware } from "../../src/backend/gpu/fp8-product.ts";
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
      { position: 300, rows: 1, sinks: 2, window: 310 }, // more than attention-decode.small takes
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

  const shapes = [
    { heads: 6, kvHeads: 3, headDim: 32, pageTokens: 16 },
    { heads: 5, kvHeads: 1, headDim: 18, pageTokens: 4 },
    { heads: 2, kvHeads: 2, headDim: 200, pageTokens: 16 },
  ];
  for (const shape of shapes) {
    const label = `${shape.heads}/${shape.kvHeads} heads of ${shape.headDim}`;

    test(`few entries on a software adapter, ${label}: all rows in one dispatch`, async () => {
      const of = attentionCase(shape, [
        { position: 255, rows: 1, sinks: 2, window: 300 },
        { position: 500, rows: 3, sinks: 2, window: 10 },
        { position: 0, rows: 9, sinks: 2, window: 50 },
        { position: 5, rows: 12, sinks: 4, window: 7 },
        { position: 30, rows: 2, sinks: 0, window: 3 },
      ], 4);
      const { rows, kv, table } = load(gpu, of);
      const out = unwritten(gpu, rows.count * shape.heads * shape.headDim);
      const watched = watch(gpu);
      new Attention(watched.gpu, shape).record({ out, qkv: bound(gpu, of.qkv), kv, rows, table });
      expectClose(await floats(gpu, out), expectedAttention(of), 2e-5);
      if (isSoftware(gpu)) expect(watched.kernels).toEqual(["attention-decode.small"]);
    });
  }

  test("rows of which one sees too many entries, or that see too much together, are not few", () => {
    const shape = { heads: 8, kvHeads: 2, headDim: 32, pageTokens: 16 };
    const kernels = (position: number, count: number) => {
      const of = attentionCase(shape, [{ position, rows: count, sinks: 0, window: 300 }], 5);
      const { rows, kv, table } = load(gpu, of);
      const out = unwritten(gpu, rows.count * shape.heads * shape.headDim);
      const watched = watch(gpu);
      new Attention(watched.gpu, shape).record({ out, qkv: bound(gpu, of.qkv), kv, rows, table });
      return watched.kernels;
    };
    expect(kernels(256, 1)).not.toContain("attention-decode.small");
    expect(kernels(0, 200)).not.toContain("attention-decode.small");
  });

  test("few entries of a model that is not small go to its usual kernels", () => {
    const shape = { heads: 16, kvHeads: 4, headDim: 64, pageTokens: 16 };
    const of = attentionCase(shape, [{ position: 3, rows: 1, sinks: 0, window: 300 }], 6);
    const { rows, kv, table } = load(gpu, of);
    const out = unwritten(gpu, shape.heads * shape.headDim);
    const watched = watch(gpu);
    new Attention(watched.gpu, shape).record({ out, qkv: bound(gpu, of.qkv), kv, rows, table });
    expect(watched.kernels).toHaveLength(1);
    expect(watched.kernels).not.toContain("attention-decode.small");
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
