import { afterAll, beforeAll, describe, setDefaultTimeout, test } from "bun:test";
import { subgroupAttention } from "../../src/backend/gpu/attention-decode.ts";
import { attentionPrefill } from "../../src/backend/gpu/attention-prefill.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import type { HeadShape } from "../../src/backend/gpu/head-shape.ts";
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
  for (const run of rows.runs) attentionPrefill(gpu, input, shape, run.row, run.rows);
  expectClose(await floats(gpu, out), expected, 2e-5);
}

describe.skipIf(gpuMissing !== undefined)("attention-prefill", () => {
  const shapes = [
    { heads: 16, kvHeads: 4, headDim: 64 },
    { heads: 14, kvHeads: 2, headDim: 128 },
    { heads: 3, kvHeads: 3, headDim: 18 },
    { heads: 40, kvHeads: 2, headDim: 32 }, // a group of 20 takes two bundles
    { heads: 5, kvHeads: 1, headDim: 256 },
  ];
  for (const shape of shapes) {
    const label = `${shape.heads}/${shape.kvHeads} heads of ${shape.headDim}`;

    test(`${label}: a prompt from its beginning`, async () => {
      await check({ ...shape, pageTokens: 16 }, [
        { position: 0, rows: 70, sinks: 4, window: 100 },
      ], shape.heads);
    });

    test(`${label}: chunks of several sequences, up to the last row before eviction`, async () => {
      await check({ ...shape, pageTokens: 4 }, [
        { position: 0, rows: 2, sinks: 0, window: 2 },
        { position: 61, rows: 9, sinks: 4, window: 65 },
        { position: 1, rows: 7, sinks: 3, window: 4 },
        { position: 130, rows: 5, sinks: 300, window: 10 }, // still among the sinks
        { position: 12, rows: 1, sinks: 3, window: 40 },
      ], shape.heads);
    });
  }
});
