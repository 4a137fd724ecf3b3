import { expect, test } from "bun:test";
import { gateUpMatvecFp8 as cpuGateUp } from "../../src/backend/cpu/gate-up-matvec-fp8.ts";
import { gateUpMatvecFp8 } from "../../src/backend/gpu/gate-up-matvec-fp8.ts";
import { devices, download, randomValues, uploadParts, uploadRows } from "./product-fixtures.ts";
import { gateUpDifference, mildMatrix } from "./gate-up-fixtures.ts";

/** [outputs, columns] */
const shapes = [[1, 1], [3, 17], [5, 96], [17, 704], [64, 64]] as const;

for (const { name, gpu } of devices) {
  for (const [width, cols] of shapes) {
    test(`gate-up-matvec-fp8 (${name}) 2 x ${width} x ${cols}`, async () => {
      const matrix = mildMatrix(2 * width, cols, width * cols);
      // What lies around a token's x may be another request's NaN.
      const x = new Float32Array(3 * cols).fill(NaN);
      const own = randomValues(cols, 5);
      x.set(own, cols);
      const want = new Float32Array(width);
      cpuGateUp(want, matrix, own);

      const before = new Float32Array(2 * width).fill(7);
      const out = { data: uploadRows(gpu, before, 1, 2 * width).data, width };
      gateUpMatvecFp8(gpu, {
        out,
        matrix: uploadParts(gpu, matrix, true, 5),
        x: uploadRows(gpu, x, 3, cols),
        add: false,
        tokens: 1,
        xFirst: 1,
        outFirst: 1,
      });
      const got = await download(gpu, out, 2 * width);
      expect(gateUpDifference(got.subarray(width), want, matrix, own)).toBeNull();
      expect(got.subarray(0, width)).toEqual(before.subarray(0, width));
    });
  }
}
