import { afterAll, describe, expect, test } from "bun:test";
import { ArcticError, errorCode } from "../../src/errors.ts";
import { expertDown } from "../../src/backend/cpu/expert-down.ts";
import { expertGateUp } from "../../src/backend/cpu/expert-gate-up.ts";
import { ExpertMlp, turnRound } from "../../src/backend/gpu/expert-mlp.ts";
import { ExpertSlots } from "../../src/backend/gpu/expert-slots.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/index.ts";
import { Uploader } from "../../src/backend/gpu/uploader.ts";
import { gpuMissing } from "../support/gpu.ts";
import { download, randomValues, uploadRows } from "../kernels/product-fixtures.ts";
import { CONFIG, FakeSource, limited } from "./gpu-fixtures.ts";

const withGpu = test.skipIf(gpuMissing !== undefined);
const gpu = gpuMissing === undefined ? await openGpu() : undefined;
/** Without subgroups no model counts as small, and experts share dispatches. */
const portable = gpuMissing === undefined ? await openGpu({ subgroups: false }) : undefined;
afterAll(() => {
  gpu?.close();
  portable?.close();
});

const TOTAL = CONFIG.layers * CONFIG.experts;
const BYTES = new FakeSource().experts[0]![0]!.layout.bytes;

function slotsFor(device: Gpu, budget: number) {
  const source = new FakeSource();
  const experts = { layer: 0, total: TOTAL };
  const slots = new ExpertSlots(device, source, new Uploader(device, source), experts, budget);
  return { source, slots };
}

describe("routing turned round", () => {
  test("pairs lie by expert, rows ascending, each with its weight", () => {
    const { chosen, routes } = turnRound({
      expertsPerToken: 2,
      experts: Uint32Array.of(3, 1, 1, 0, 3, 2),
      weights: Float32Array.of(0.5, 0.25, 1, 2, 4, 8),
    }, 3);
    expect(chosen).toEqual([
      { expert: 0, first: 0, count: 1 },
      { expert: 1, first: 1, count: 2 },
      { expert: 2, first: 3, count: 1 },
      { expert: 3, first: 4, count: 2 },
    ]);
    const weights = new Float32Array(routes.buffer);
    const pairs = Array.from({ length: 6 }, (_, i) => [routes[2 * i], weights[2 * i + 1]]);
    expect(pairs).toEqual([[1, 2], [0, 0.25], [1, 1], [2, 8], [0, 0.5], [2, 4]]);
  });

  test("a row that is NaN comes last and shares with nobody", () => {
    const { chosen, routes } = turnRound({
      expertsPerToken: 2,
      experts: Uint32Array.of(1, 2, 0, 1, 2, 1),
      weights: Float32Array.of(1, 1, NaN, NaN, 1, 1),
    }, 3);
    expect(chosen).toEqual([
      { expert: 1, first: 0, count: 2 },
      { expert: 2, first: 2, count: 2 },
      { expert: 0, first: 4, count: 1 },
      { expert: 1, first: 5, count: 1 },
    ]);
    expect(Array.from({ length: 6 }, (_, i) => routes[2 * i])).toEqual([0, 2, 0, 2, 1, 1]);
  });
});

describe("expert slots", () => {
  withGpu("hold a record as it is in the shard", async () => {
    const { source, slots } = slotsFor(gpu!, 3 * BYTES);
    for (const [layer, expert] of [[0, 2], [1, 3]] as const) {
      const slot = await slots.fetch(layer, expert);
      const bytes = new Uint8Array(await gpu!.read(slot));
      expect(bytes).toEqual(source.experts[layer]![expert]!.record);
    }
  });

  withGpu("reuse the slot that was used longest ago", async () => {
    const { source, slots } = slotsFor(gpu!, 3 * BYTES);
    expect(slots.capacity).toBe(3);
    for (const expert of [0, 1, 2]) await slots.fetch(0, expert);
    expect(slots.find(0, 0)).toBeDefined();
    await slots.fetch(1, 0);
    expect([0, 1, 2].map((expert) => slots.find(0, expert) !== undefined))
      .toEqual([true, false, true]);
    expect(source.reads.length).toBe(4);
    await slots.fetch(0, 0);
    expect(source.reads.length).toBe(4);
    const again = new Uint8Array(await gpu!.read(await slots.fetch(0, 1)));
    expect(again).toEqual(source.experts[0]![1]!.record);
  });

  withGpu("are never fewer than the two that a dispatch reads", () => {
    expect(slotsFor(gpu!, 0).slots.capacity).toBe(2);
  });

  withGpu("are never more than there are experts", () => {
    expect(slotsFor(gpu!, Infinity).slots.capacity).toBe(TOTAL);
  });

  withGpu("make do with what the device had room for", async () => {
    let made = 0;
    const buffer = (label: string, bytes: number) => {
      if (++made > 2) throw new ArcticError("device_out_of_memory", "made up");
      return gpu!.buffer(label, bytes);
    };
    const small = limited(gpu!, { buffer });
    const { source, slots } = slotsFor(small, Infinity);
    for (const expert of [0, 1, 2, 3]) await slots.fetch(0, expert);
    expect(slots.capacity).toBe(2);
    expect([0, 1, 2, 3].map((expert) => slots.find(0, expert) !== undefined))
      .toEqual([false, false, true, true]);
    expect(new Uint8Array(await gpu!.read(slots.find(0, 3)!)))
      .toEqual(source.experts[0]![3]!.record);
  });

  withGpu("fail with a type when there is no room for two", async () => {
    const buffer = () => {
      throw new ArcticError("device_out_of_memory", "made up");
    };
    const { slots } = slotsFor(limited(gpu!, { buffer }), Infinity);
    expect(await slots.fetch(0, 0).catch(errorCode)).toBe("device_out_of_memory");
  });

  withGpu("refuse an expert that one binding cannot hold", () => {
    let code;
    try {
      slotsFor(limited(gpu!, { bindingBytes: BYTES - 1 }), Infinity);
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe("device_expert_too_large");
  });
});

describe.each([
  ["subgroups", gpu],
  ["portable", portable],
])("the mixture of a layer (%s)", (_, device) => {
  const { hiddenSize, experts, expertsPerToken: k } = CONFIG;
  /** Rows' choices: spread, all the same, one row alone. */
  const cases = {
    "spread over all experts": [[0, 1], [2, 3], [1, 0], [3, 1], [0, 2]],
    "all the same two": [[1, 3], [1, 3], [3, 1], [1, 3], [1, 3]],
    "one row": [[2, 0]],
  };
  for (const [name, choices] of Object.entries(cases)) {
    for (const capacity of [2, 3, TOTAL]) {
      withGpu(`${name}, ${capacity} slots`, async () => {
        const { source, slots } = slotsFor(device!, capacity * BYTES);
        const mlp = new ExpertMlp(device!, slots, 5 * k);
        const rows = choices.length;
        const x = randomValues(rows * hiddenSize, 1);
        const weights = randomValues(rows * k, 2).map(Math.abs);
        const routing = { expertsPerToken: k, experts: Uint32Array.from(choices.flat()), weights };
        const out = { data: uploadRows(device!, x, rows, hiddenSize).data, width: hiddenSize };
        const input = uploadRows(device!, x, rows, hiddenSize);
        const want = x.slice();
        for (const layer of [1, 0, 1]) {
          await mlp.record(out, layer, routing, input, rows);
          for (let e = 0; e < experts; e++) addExpert(want, source, layer, e, routing, x);
        }
        const got = await download(device!, out, rows * hiddenSize);
        for (const [i, value] of want.entries()) expect(got[i]).toBeCloseTo(value, 3);
      });
    }
  }

  withGpu("a row that is NaN leaves the rows beside it as they are without it", async () => {
    const { slots } = slotsFor(device!, TOTAL * BYTES);
    const x = randomValues(3 * hiddenSize, 1);
    const run = async (choices: number[][], values: Float32Array) => {
      const rows = choices.length;
      const mlp = new ExpertMlp(device!, slots, 5 * k);
      const weights = Float32Array.from(
        choices.flat(),
        (_, i) => Number.isNaN(values[Math.floor(i / k) * hiddenSize]!) ? NaN : 0.5,
      );
      const routing = { expertsPerToken: k, experts: Uint32Array.from(choices.flat()), weights };
      const out = { data: uploadRows(device!, values, rows, hiddenSize).data, width: hiddenSize };
      await mlp.record(out, 0, routing, uploadRows(device!, values, rows, hiddenSize), rows);
      return [...await download(device!, out, rows * hiddenSize)];
    };
    const ill = x.slice().fill(NaN, hiddenSize, 2 * hiddenSize);
    const beside = [...x.subarray(0, hiddenSize), ...x.subarray(2 * hiddenSize)];
    const got = await run([[0, 2], [0, 1], [3, 1]], ill);
    const want = await run([[0, 2], [3, 1]], Float32Array.from(beside));
    expect([...got.slice(0, hiddenSize), ...got.slice(2 * hiddenSize)]).toEqual(want);
    expect(got.slice(hiddenSize, 2 * hiddenSize).every(Number.isNaN)).toBe(true);
  });
});

/** out += expert's share, on the CPU. */
function addExpert(
  out: Float32Array,
  source: FakeSource,
  layer: number,
  expert: number,
  routing: { experts: Uint32Array; weights: Float32Array },
  x: Float32Array,
): void {
  const pairs = [...routing.experts.keys()].filter((i) => routing.experts[i] === expert);
  const rows = Uint32Array.from(pairs, (i) => Math.floor(i / CONFIG.expertsPerToken));
  const { gateUp, down } = source.experts[layer]![expert]!;
  const h = new Float32Array(rows.length * down.cols);
  expertGateUp(h, gateUp, x, rows);
  expertDown(out, down, h, rows, Float32Array.from(pairs, (i) => routing.weights[i]!));
}
