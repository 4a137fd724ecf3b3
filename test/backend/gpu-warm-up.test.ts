import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Gpu } from "../../src/backend/gpu/context.ts";
import { isSoftware } from "../../src/backend/gpu/fp8-product.ts";
import { GpuBackend } from "../../src/backend/gpu/gpu-backend.ts";
import { openGpu } from "../../src/backend/gpu/index.ts";
import { warmUp } from "../../src/backend/gpu/warm-up.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { gpuMissing } from "../support/gpu.ts";
import { CONFIG, limited } from "./gpu-fixtures.ts";

const gpu = gpuMissing === undefined ? await openGpu() : undefined;
afterAll(() => gpu?.close());

const SHAPE = { heads: 2, kvHeads: 1, headDim: 10, pageTokens: 16 };

const kernelOf = (event: string) => event.split(" ")[0];

/** Kernels and constants that were asked for, in order, with the device that notes them. */
function noting(gpu: Gpu) {
  const events: string[] = [];
  const device = limited(gpu, {
    pipeline(kernel, constants = {}) {
      events.push(`${kernel} ${JSON.stringify(constants)}`);
      return gpu.pipeline(kernel, constants);
    },
    flush() {
      events.push("flush");
      gpu.flush();
    },
  });
  return { device, events };
}

const skips = gpu === undefined || !isSoftware(gpu);
if (gpu !== undefined && skips) {
  console.warn("skipped, the adapter is no software driver: its pipelines are not made in advance");
}

describe.skipIf(skips)("warm-up", () => {
  test("makes all pipelines, then submits: a driver that compiles makes none", async () => {
    const { device, events } = noting(gpu!);
    warmUp(device, CONFIG, SHAPE, 65);
    expect(events.slice(0, -1).map(kernelOf).toSorted()).toEqual([
      "attention-decode.small",
      "embed",
      "kv-write",
      "matmul-fp8.small",
      "rms-norm.subgroup",
      "rope",
      "router.small",
    ]);
    expect(events.at(-1)).toBe("flush");
    // Reports what the device found wrong with the dispatches.
    await gpu!.finished();
  });

  test("leaves the router out where there are no experts", () => {
    const { device, events } = noting(gpu!);
    warmUp(device, { ...CONFIG, experts: 0 }, SHAPE, 65);
    expect(events.map(kernelOf)).toContain("embed");
    expect(events.map(kernelOf)).not.toContain("router.small");
  });

  test("does nothing for a model whose matrices are large", () => {
    const { device, events } = noting(gpu!);
    warmUp(device, { ...CONFIG, hiddenSize: 1024, intermediateSize: 704 }, SHAPE, 65);
    expect(events).toEqual([]);
  });
});

const EMBEDDED = new URL("../../weights-manifest/arctic-tiny-sql/model", import.meta.url).pathname;

if (!existsSync(EMBEDDED)) console.warn("skipped, there is no model to embed: its warm-up");
test.skipIf(skips || !existsSync(EMBEDDED))(
  "has made every pipeline that a prompt to the program's own model needs",
  async () => {
    const { device, events } = noting(gpu!);
    const source = openModel(EMBEDDED, { io: "mmap", allowNan: false });
    const backend = new GpuBackend(device, source, backendOptions(source, { kvTokens: 256 }));
    const warm = new Set(events);
    events.length = 0;
    const engine = await Engine.open(source, backend, { kvTokens: 256 });
    const tokens = Array.from({ length: 100 }, (_, i) => 300 + i);
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, typicalP: 1, seed: 1 };
    const asked = { kind: "generate", tokens, sampling, stop: [], stopOnLoop: false } as const;
    await Array.fromAsync(
      engine.submit({ ...asked, maxTokens: 3 }, new AbortController().signal),
    );
    const used = new Set(events.filter((event) => event !== "flush"));
    expect(used.size).toBeGreaterThan(5);
    expect([...used].filter((kernel) => !warm.has(kernel))).toEqual([]);
    source.close();
  },
);
