import { afterAll, beforeAll, describe, setDefaultTimeout, test } from "bun:test";
import { AttentionDecode, subgroupAttention } from "../../src/backend/gpu/attention-decode.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import type { HeadShape } from "../../src/backend/gpu/head-shape.ts";
import { visibleEntries } from "../../src/backend/gpu/rows.ts";
import { gpuMissing } from "../support/gpu.ts";
import {
  type AttentionCase,
  attentionCase,
  type CaseRun,
  expectedAttention,
  load,
} from "./attention-case.ts";
import { bound, expectClose, floats, unwritten } from "./vectors.ts";

/** Compiling for a software adapter takes seconds on a busy machine. */
setDefaultTimeout(60_000);

let portable: Gpu;
let subgroups: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  portable = await openGpu({ subgroups: false });
  subgroups = await openGpu();
});
afterAll(() => {
  portable?.close();
  subgroups?.close();
});

async function check(shape: HeadShape, runs: readonly CaseRun[], seed: number): Promise<void> {
  const of = attentionCase(shape, runs, seed);
  const expected = expectedAttention(of);
  for (const gpu of subgroupAttention(subgroups, shape) ? [portable, subgroups] : [portable]) {
    await compare(gpu, of, expected);
  }
}

async function compare(gpu: Gpu, of: AttentionCase, expected: Float32Array): Promise<void> {
  const { shape } = of;
  const { rows, kv, table } = load(gpu, of);
  const out = unwritten(gpu, rows.count * shape.heads * shape.headDim);
  const input = { out, qkv: bound(gpu, of.qkv), kv, rows, table };
  const entries = rows.runs.map((run) => visibleEntries(run.view, run.position + run.rows - 1));
  new AttentionDecode(gpu, shape).record(input, 0, rows.count, Math.max(...entries));
  expectClose(await floats(gpu, out), expected, 2e-5);
}

describe.skipIf(gpuMissing !== undefined)("attention-decode", () => {
  const shapes = [
    { heads: 16, kvHeads: 4, headDim: 64 },
    { heads: 7, kvHeads: 1, headDim: 128 },
    { heads: 3, kvHeads: 3, headDim: 18 },
    { heads: 20, kvHeads: 2, headDim: 32 }, // a group of 10 takes two bundles
    { heads: 10, kvHeads: 2, headDim: 256 },
  ];
  for (const shape of shapes) {
    const label = `${shape.heads}/${shape.kvHeads} heads of ${shape.headDim}`;

    test(`${label}: one row, from one entry to many splits`, async () => {
      for (const position of [0, 1, 62, 63, 64, 500]) {
        const run = { position, rows: 1, sinks: 4, window: 600 };
        await check({ ...shape, pageTokens: 16 }, [run], position);
      }
    });

    test(`${label}: sequences of different lengths, evicted or not, in one batch`, async () => {
      await check({ ...shape, pageTokens: 4 }, [
        { position: 3, rows: 1, sinks: 4, window: 20 },
        { position: 24, rows: 1, sinks: 4, window: 20 }, // the last before eviction
        { position: 25, rows: 1, sinks: 4, window: 20 }, // the first after
        { position: 9_999, rows: 1, sinks: 4, window: 150 },
        { position: 777, rows: 1, sinks: 0, window: 66 },
        { position: 60, rows: 8, sinks: 1, window: 64 }, // crosses into eviction
        { position: 0, rows: 1, sinks: 0, window: 0 }, // sees itself only
        { position: 5, rows: 2, sinks: 0, window: 0 },
      ], shape.headDim);
    });
  }

  test("every position of the ring as it goes round", async () => {
    const shape = { heads: 4, kvHeads: 2, headDim: 16, pageTokens: 4 };
    const runs = Array.from({ length: 24 }, (_, i) => {
      return { position: 100 + i, rows: 1 + i % 3, sinks: 3, window: 8 };
    });
    await check(shape, runs, 1);
  });

  test("scores far apart: the softmax neither overflows nor loses the largest", async () => {
    const shape = { heads: 4, kvHeads: 1, headDim: 64, pageTokens: 16 };
    const of = attentionCase(shape, [{ position: 299, rows: 1, sinks: 0, window: 400 }], 5);
    of.qkv.forEach((value, i) => of.qkv[i] = value * 300);
    const expected = expectedAttention(of);
    for (const gpu of [portable, subgroups]) {
      const { rows, kv, table } = load(gpu, of);
      const out = unwritten(gpu, shape.heads * shape.headDim);
      const input = { out, qkv: bound(gpu, of.qkv), kv, rows, table };
      new AttentionDecode(gpu, shape).record(input, 0, 1, 300);
      expectClose(await floats(gpu, out), expected, 1e-3);
    }
  });
});
