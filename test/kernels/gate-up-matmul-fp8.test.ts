import { expect, test } from "bun:test";
import { gateUpMatmulFp8 as cpuGateUp } from "../../src/backend/cpu/gate-up-matmul-fp8.ts";
import type { Gpu } from "../../src/backend/gpu/context.ts";
import { type Product, recordProduct } from "../../src/backend/gpu/fp8-product.ts";
import { gateUpMatmulFp8, STAGED_GATE_UP } from "../../src/backend/gpu/gate-up-matmul-fp8.ts";
import { devices, download, randomValues, uploadParts, uploadRows } from "./product-fixtures.ts";
import { gateUpDifference, mildMatrix } from "./gate-up-fixtures.ts";

/** [outputs, columns, tokens] */
const shapes = [[1, 1, 2], [3, 17, 3], [5, 96, 7], [35, 704, 33], [150, 276, 9], [
  33,
  64,
  65,
]] as const;

/** The kernel that suits the device, and the one that only some software adapters take. */
const ways = {
  chosen: gateUpMatmulFp8,
  staged: (gpu: Gpu, product: Product) => recordProduct(gpu, product, STAGED_GATE_UP),
};

for (const { name, gpu } of devices) {
  for (const [way, record] of Object.entries(ways)) {
    for (const [width, cols, tokens] of shapes) {
      test(`gate-up-matmul-fp8 (${name}, ${way}) 2 x ${width} x ${cols}, ${tokens} tokens`, async () => {
        const matrix = mildMatrix(2 * width, cols, width * cols);
        const x = randomValues(tokens * cols, 5);
        const want = new Float32Array(tokens * width);
        cpuGateUp(want, matrix, x, tokens);

        const before = new Float32Array((tokens + 2) * width).fill(7);
        const out = { data: uploadRows(gpu, before, 1, before.length).data, width };
        record(gpu, {
          out,
          matrix: uploadParts(gpu, matrix, true, 34),
          x: uploadRows(gpu, x, tokens, cols),
          add: false,
          tokens,
          xFirst: 0,
          outFirst: 1,
        });
        const got = await download(gpu, out, before.length);
        const own = got.subarray(width, (tokens + 1) * width);
        expect(gateUpDifference(own, want, matrix, x)).toBeNull();
        expect(got.subarray(0, width)).toEqual(before.subarray(0, width));
        expect(got.subarray((tokens + 1) * width)).toEqual(before.subarray(0, width));
      });
    }
  }
}
