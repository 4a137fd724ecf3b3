import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { embed as cpuEmbed } from "../../src/backend/cpu/embed.ts";
import { type Gpu, openGpu } from "../../src/backend/gpu/context.ts";
import { embed, type TablePart, tableParts } from "../../src/backend/gpu/embed.ts";
import { BatchRows } from "../../src/backend/gpu/rows.ts";
import { gpuMissing } from "../support/gpu.ts";
import { bound, floats, generator, unwritten } from "./vectors.ts";

let gpu: Gpu;
beforeAll(async () => {
  if (gpuMissing !== undefined) return;
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

/** bf16 bits of the whole table as parts of at most `bindingBytes`. */
function upload(table: Uint16Array, width: number, bindingBytes: number): TablePart[] {
  return tableParts(table.length / width, width, bindingBytes).map(({ first, rows }) => {
    const words = new Uint32Array(Math.ceil(rows * width / 2));
    new Uint16Array(words.buffer).set(table.subarray(first * width, (first + rows) * width));
    return { first, rows, codes: bound(gpu, words) };
  });
}

function rowsOf(tokens: Uint32Array) {
  const pages = new Uint32Array(Math.ceil(tokens.length / 16));
  return new BatchRows(gpu, 16, tokens.length).load({
    tokens,
    sequence: new Uint32Array(tokens.length),
    position: tokens.map((_, i) => i),
    sequences: [{ pages, sinks: 0, window: tokens.length, ring: 2 * tokens.length }],
    logitRows: new Uint32Array(0),
  });
}

describe.skipIf(gpuMissing !== undefined)("embed", () => {
  const cases = [
    { name: "one part", vocabulary: 100, width: 64, bindingBytes: 1 << 20, parts: 1 },
    { name: "parts of 7 rows", vocabulary: 100, width: 64, bindingBytes: 7 * 128 + 4, parts: 15 },
    { name: "an odd width", vocabulary: 33, width: 35, bindingBytes: 5 * 70 + 4, parts: 7 },
    { name: "a wide row", vocabulary: 9, width: 1024, bindingBytes: 1 << 20, parts: 1 },
  ];
  for (const { name, vocabulary, width, bindingBytes, parts } of cases) {
    test(`takes rows of the table bit for bit: ${name}`, async () => {
      const random = generator(width);
      // Exponents short of NaN, whose bits f32 copies need not keep.
      const table = Uint16Array.from({ length: vocabulary * width }, () => random() * 0x7f00);
      table.forEach((bits, i) => table[i] = bits | (random() < 0.5 ? 0x8000 : 0));
      const tokens = Uint32Array.from({ length: 40 }, () => random() * vocabulary);
      tokens[0] = 0;
      tokens[1] = vocabulary - 1;
      const expected = new Float32Array(tokens.length * width);
      cpuEmbed(expected, table, tokens, width);

      const uploaded = upload(table, width, bindingBytes);
      expect(uploaded.length).toBe(parts);
      const out = unwritten(gpu, tokens.length * width);
      embed(gpu, out, uploaded, rowsOf(tokens), width);
      const actual = await floats(gpu, out);
      // Denormals may be flushed by a device.
      const flushed = (values: Float32Array) =>
        values.map((value) => Math.abs(value) < 2 ** -126 ? 0 : value);
      expect(flushed(actual)).toEqual(flushed(expected));
    });
  }

  test("parts cover a table once, in order, each within a binding", () => {
    const parts = tableParts(32_000, 7_168, 128 * 2 ** 20);
    expect(parts.length).toBe(4);
    let next = 0;
    for (const { first, rows } of parts) {
      expect(first).toBe(next);
      expect(rows * 7_168 * 2).toBeLessThanOrEqual(128 * 2 ** 20);
      next += rows;
    }
    expect(next).toBe(32_000);
  });
});
