import { expect, test } from "bun:test";
import { matvecFp8 as cpuMatvec } from "../../src/backend/cpu/matvec-fp8.ts";
import { matvecFp8 } from "../../src/backend/gpu/matvec-fp8.ts";
import { gpuMissing } from "../support/gpu.ts";
import {
  devices,
  difference,
  download,
  magnitudes,
  randomMatrix,
  randomValues,
  uploadParts,
  uploadRows,
} from "./product-fixtures.ts";

const shapes = [[1, 1], [7, 17], [9, 96], [33, 704], [8, 1], [130, 64]] as const;

for (const { name, gpu } of devices) {
  for (const [rows, cols] of shapes) {
    for (const add of [false, true]) {
      test(`matvec-fp8 (${name}) ${rows} x ${cols}${add ? ", added" : ""}`, async () => {
        const matrix = randomMatrix(rows, cols, rows * cols);
        // What lies around a token's x may be another request's NaN.
        const x = new Float32Array(3 * cols).fill(NaN);
        x.set(randomValues(cols, 5), cols);
        const before = randomValues(2 * rows, 6);
        const want = before.slice();
        cpuMatvec(want.subarray(rows), matrix, x.subarray(cols, 2 * cols), add);
        const bound = before.map(Math.abs);
        cpuMatvec(
          bound.subarray(rows),
          magnitudes(matrix),
          x.map(Math.abs).subarray(cols, 2 * cols),
          true,
        );

        const out = { data: uploadRows(gpu, before, 1, 2 * rows).data, width: rows };
        matvecFp8(gpu, {
          out,
          matrix: uploadParts(gpu, matrix, false, 5),
          x: uploadRows(gpu, x, 3, cols),
          add,
          tokens: 1,
          xFirst: 1,
          outFirst: 1,
        });
        expect(difference(await download(gpu, out, 2 * rows), want, bound)).toBeNull();
      });
    }
  }

  test(`matvec-fp8 (${name}) decodes every code exactly`, async () => {
    const codes = Uint8Array.from({ length: 254 }, (_, i) => i < 127 ? i : i + 1);
    const stride = 16;
    const matrix = {
      codes: new Uint8Array(254 * stride),
      scales: new Float32Array(254).fill(0.5),
      rows: 254,
      cols: 1,
      stride,
    };
    codes.forEach((code, row) => matrix.codes[row * stride] = code);
    const want = new Float32Array(254);
    cpuMatvec(want, matrix, Float32Array.of(1), false);
    const out = { data: uploadRows(gpu, new Float32Array(254), 1, 254).data, width: 254 };
    matvecFp8(gpu, {
      out,
      matrix: uploadParts(gpu, matrix, false),
      x: uploadRows(gpu, Float32Array.of(1), 1, 1),
      add: false,
      tokens: 1,
      xFirst: 0,
      outFirst: 0,
    });
    expect(await download(gpu, out, 254)).toEqual(want);
  });
}

test.skipIf(gpuMissing !== undefined)("both forms of the kernel were tested", () => {
  expect(devices.map(({ gpu }) => gpu.subgroupSize > 0)).toEqual([true, false]);
});
