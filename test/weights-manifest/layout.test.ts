import { describe, expect, test } from "bun:test";
import { layoutOf, type PlacedTensor } from "../../weights-manifest/layout.ts";
import { storedTensors } from "../../weights-manifest/huggingface.ts";
import { parseConfig } from "../../weights-manifest/validate-config.ts";
import { arctic480, type ConfigJson, tinyConfig } from "./support.ts";

const shapes: [string, ConfigJson, number][] = [
  ["tiny", tinyConfig, 2 ** 31],
  ["tiny, in many shards", tinyConfig, 1],
  ["dense layers", { ...tinyConfig, moe_layer_frequency: 2 }, 5000],
  ["no experts at all", { ...tinyConfig, moe_layer_frequency: 9 }, 5000],
  ["the published model", arctic480, 2 ** 31],
];

for (const [what, json, shardBytes] of shapes) {
  describe(what, () => {
    const config = parseConfig(json);
    const { shards, tensors } = layoutOf(config, shardBytes);
    const ranges = (tensor: PlacedTensor) =>
      tensor.scales === null ? [tensor.data] : [tensor.data, tensor.scales];

    test("every tensor is placed once, aligned and inside its shard", () => {
      expect(tensors.map((t) => t.spec.name).sort())
        .toEqual(storedTensors(config).map((spec) => spec.name).sort());
      for (const tensor of tensors) {
        for (const { offset, bytes } of ranges(tensor)) {
          expect(offset % 256).toBe(0);
          expect(offset + bytes <= (shards[tensor.shard]?.bytes ?? 0)).toBe(true);
        }
        if (tensor.spec.dtype === "e4m3") expect(tensor.stride % 16).toBe(0);
      }
    });

    test("nothing overlaps, and gaps are alignment only", () => {
      for (const [index, inside] of Map.groupBy(tensors, (tensor) => tensor.shard)) {
        const sorted = inside.flatMap(ranges).sort((a, b) => a.offset - b.offset);
        let end = 0;
        for (const { offset, bytes } of sorted) {
          expect(offset >= end && offset - end < 4096).toBe(true);
          end = offset + bytes;
        }
        const size = shards[index]?.bytes ?? 0;
        expect(size % 4096).toBe(0);
        expect(size >= end && size - end < 4096).toBe(true);
      }
    });

    test("an expert is one page-aligned range: codes, codes, scales, scales", () => {
      const experts = tensors.filter((tensor) => tensor.spec.expert !== null);
      for (let i = 0; i < experts.length; i += 2) {
        const [gateUp, down] = [experts[i], experts[i + 1]];
        expect(gateUp?.spec.name.replace("gate_up", "down")).toBe(down?.spec.name ?? "");
        expect(gateUp?.shard).toBe(down?.shard ?? -1);
        const starts = [gateUp?.data, down?.data, gateUp?.scales, down?.scales]
          .map((range) => range?.offset ?? -1);
        expect(starts).toEqual(starts.toSorted((a, b) => a - b));
        expect((starts[0] ?? 1) % 4096).toBe(0);
      }
    });
  });
}

test("a shard of the published model ends soon after 2 GiB", () => {
  const { shards } = layoutOf(parseConfig(arctic480));
  expect(shards.every(({ bytes }) => bytes < 2 ** 31 + 2 ** 29)).toBe(true);
  expect(shards.slice(0, 3).map((shard) => shard.name))
    .toEqual(["dense-00001.bin", "dense-00002.bin", "dense-00003.bin"]);
});
