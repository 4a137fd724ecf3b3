import { expect, test } from "bun:test";
import { matmulFp8 as cpuMatmul } from "../../src/backend/cpu/matmul-fp8.ts";
import type { Gpu } from "../../src/backend/gpu/context.ts";
import { type Product, recordProduct } from "../../src/backend/gpu/fp8-product.ts";
import { matmulFp8, STAGED_MATMUL } from "../../src/backend/gpu/matmul-fp8.ts";
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

/** [rows of the matrix, its columns, tokens] */
const shapes = [[1, 1, 2], [7, 17, 3], [9, 96, 7], [70, 704, 33], [300, 276, 9], [65, 64, 65], [
  8,
  20,
  1,
]] as const;

/** The kernel that suits the device, and the one that only some software adapters take. */
const ways = {
  chosen: matmulFp8,
  staged: (gpu: Gpu, product: Product) => recordProduct(gpu, product, STAGED_MATMUL),
};

for (const { name, gpu } of devices) {
  for (const [way, record] of Object.entries(ways)) {
    for (const [rows, cols, tokens] of shapes) {
      for (const add of [false, true]) {
        test(`matmul-fp8 (${name}, ${way}) ${rows} x ${cols}, ${tokens} tokens${add ? ", added" : ""}`, async () => {
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

          const out = { data: uploadRows(gpu, before, 1, before.length).data, width: rows };
          record(gpu, {
            out,
            matrix: uploadParts(gpu, matrix, false, 66),
            x: uploadRows(gpu, x, tokens + 1, cols),
            add,
            tokens,
            xFirst: 1,
            outFirst: 1,
          });
          expect(difference(await download(gpu, out, before.length), want, bound)).toBeNull();
        });
      }
    }
  }
}
