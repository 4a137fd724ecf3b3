import { describe, expect, test } from "bun:test";
import { expertDown as cpuExpertDown } from "../../src/backend/cpu/expert-down.ts";
import { expertGateUp as cpuExpertGateUp } from "../../src/backend/cpu/expert-gate-up.ts";
import { gateUpMatmulFp8 as cpuGateUp } from "../../src/backend/cpu/gate-up-matmul-fp8.ts";
import { matmulFp8 as cpuMatmul } from "../../src/backend/cpu/matmul-fp8.ts";
import { isSoftware } from "../../src/backend/gpu/fp8-product.ts";
import { isSmall, recordSmall, smallExpert } from "../../src/backend/gpu/product-small.ts";
import { randomExpert, routesOf } from "./expert-fixtures.ts";
import { gateUpDifference, mildMatrix } from "./gate-up-fixtures.ts";
import {
  devices,
  difference,
  download,
  magnitudes,
  randomMatrix,
  randomValues,
  upload,
  uploadParts,
  uploadRows,
} from "./product-fixtures.ts";

/** The kernel runs on software adapters with subgroups only. */
const gpu = devices.map((device) => device.gpu).find(isSoftware);
const withSoftware = test.skipIf(gpu === undefined);

/** [rows of the matrix, its columns, tokens] */
const shapes = [[1, 1, 2], [7, 17, 3], [33, 96, 7], [70, 704, 12], [300, 276, 1], [65, 64, 65]];

describe("matmul-fp8.small", () => {
  for (const [rows, cols, tokens] of shapes as [number, number, number][]) {
    for (const add of [false, true]) {
      withSoftware(`${rows} x ${cols}, ${tokens} tokens${add ? ", added" : ""}`, async () => {
        const matrix = randomMatrix(rows, cols, rows * cols);
        const x = randomValues((tokens + 1) * cols, 5);
        const before = randomValues((tokens + 2) * rows, 6);
        const input = x.subarray(cols);
        // The first and the last row of out belong to nobody and must stay.
        const want = before.slice();
        cpuMatmul(want.subarray(rows, (tokens + 1) * rows), matrix, input, tokens, add);
        const bound = before.map(Math.abs);
        const own = bound.subarray(rows, (tokens + 1) * rows);
        cpuMatmul(own, magnitudes(matrix), input.map(Math.abs), tokens, true);

        const out = { data: upload(gpu!, before), width: rows };
        const recorded = recordSmall(gpu!, {
          out,
          matrix: uploadParts(gpu!, matrix, false, 66, true),
          x: uploadRows(gpu!, x, tokens + 1, cols),
          add,
          tokens,
          xFirst: 1,
          outFirst: 1,
        });
        expect(recorded).toBe(true);
        expect(difference(await download(gpu!, out, before.length), want, bound)).toBeNull();
      });
    }

    withSoftware(`gate and up, 2 x ${rows} x ${cols}, ${tokens} tokens`, async () => {
      const matrix = mildMatrix(2 * rows, cols, rows * cols);
      const x = randomValues(tokens * cols, 5);
      const want = new Float32Array(tokens * rows);
      cpuGateUp(want, matrix, x, tokens);
      const before = new Float32Array((tokens + 2) * rows).fill(7);
      const out = { data: upload(gpu!, before), width: rows };
      recordSmall(gpu!, {
        out,
        matrix: uploadParts(gpu!, matrix, true, 34, true),
        x: uploadRows(gpu!, x, tokens, cols),
        add: false,
        tokens,
        xFirst: 0,
        outFirst: 1,
      });
      const got = await download(gpu!, out, before.length);
      const own = got.subarray(rows, (tokens + 1) * rows);
      expect(gateUpDifference(own, want, matrix, x)).toBeNull();
      expect(got.subarray(0, rows)).toEqual(before.subarray(0, rows));
      expect(got.subarray((tokens + 1) * rows)).toEqual(before.subarray(0, rows));
    });
  }

  for (const [hidden, width] of [[1, 1], [17, 3], [96, 17], [64, 70]] as const) {
    withSoftware(`an expert of ${width} for rows of ${hidden}`, async () => {
      const { gateUp, down, record, layout } = randomExpert(hidden, width, 1);
      // The pairs before the expert's own belong to another.
      const rows = [0, 2, 3, 8];
      const x = randomValues(9 * hidden, 3);
      const weights = randomValues(6, 4).map(Math.abs);
      const before = randomValues(9 * hidden, 5);
      const h = new Float32Array(rows.length * width);
      cpuExpertGateUp(h, gateUp, x, Uint32Array.from(rows));
      const want = before.slice();
      cpuExpertDown(want, down, h, Uint32Array.from(rows), weights.subarray(2));

      const padded = Math.ceil(width / 4) * 4;
      const out = { data: upload(gpu!, before), width: hidden };
      const a = { record: upload(gpu!, record), first: 2, count: rows.length };
      const routes = upload(gpu!, routesOf([7, 7], rows, weights));
      const between = { data: upload(gpu!, new Float32Array(6 * padded)), width: padded };
      const step = { layout, a, b: null, routes, h: between };
      smallExpert(gpu!, step, uploadRows(gpu!, x, 9, hidden), out);
      const got = await download(gpu!, out, 9 * hidden);
      for (const [i, value] of want.entries()) expect(got[i]).toBeCloseTo(value, 4);
    });
  }

  withSoftware("large matrices, many tokens and parts in two buffers go to other kernels", () => {
    expect(isSmall(gpu!, 2 ** 19, 1)).toBe(true);
    expect(isSmall(gpu!, 2 ** 19 + 1, 1)).toBe(false);
    expect(isSmall(gpu!, 2 ** 19, 33)).toBe(false);
    const matrix = uploadParts(gpu!, randomMatrix(4, 4, 1), false);
    const x = { data: upload(gpu!, new Float32Array(4)), width: 4 };
    const out = { data: upload(gpu!, new Float32Array(4)), width: 4 };
    const product = { out, matrix, x, add: false, tokens: 1, xFirst: 0, outFirst: 0 };
    expect(recordSmall(gpu!, product)).toBe(false);
  });

  test("a device without subgroups has no small models", () => {
    for (const device of devices.filter(({ name }) => name === "portable")) {
      expect(isSmall(device.gpu, 1, 1)).toBe(false);
    }
  });
});
