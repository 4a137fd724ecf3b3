/** The .broadcast kernels, which only some software adapters choose, on every device that can run them. */

import { expect, test } from "bun:test";
import { gateUpMatmulFp8 as cpuGateUp } from "../../src/backend/cpu/gate-up-matmul-fp8.ts";
import { matmulFp8 as cpuMatmul } from "../../src/backend/cpu/matmul-fp8.ts";
import {
  BROADCAST_LANES,
  broadcastsMatmul,
  recordProduct,
} from "../../src/backend/gpu/fp8-product.ts";
import { BROADCAST_GATE_UP } from "../../src/backend/gpu/gate-up-matmul-fp8.ts";
import { BROADCAST_MATMUL } from "../../src/backend/gpu/matmul-fp8.ts";
import { gateUpDifference, mildMatrix } from "./gate-up-fixtures.ts";
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

/** [outputs, columns, tokens] */
const shapes = [[1, 1, 2], [7, 17, 3], [70, 704, 8], [150, 276, 9], [33, 64, 33]] as const;

for (const { name, gpu } of devices) {
  test(`${name}: chosen for subgroups of ${BROADCAST_LANES} without uniform loads`, () => {
    const { software, uniformLoads } = gpu.info;
    const able = software && gpu.subgroupSize === BROADCAST_LANES;
    expect(broadcastsMatmul(gpu)).toBe(able && !uniformLoads);
    const faster = { ...gpu.info, uniformLoads: true };
    expect(broadcastsMatmul(Object.create(gpu, { info: { value: faster } }))).toBeFalse();
  });

  if (gpu.subgroupSize !== BROADCAST_LANES) continue;
  for (const [rows, cols, tokens] of shapes) {
    for (const add of [false, true]) {
      test(`matmul-fp8.broadcast ${rows} x ${cols}, ${tokens} tokens${add ? ", added" : ""}`, async () => {
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
        recordProduct(gpu, {
          out,
          matrix: uploadParts(gpu, matrix, false, 66),
          x: uploadRows(gpu, x, tokens + 1, cols),
          add,
          tokens,
          xFirst: 1,
          outFirst: 1,
        }, BROADCAST_MATMUL);
        expect(difference(await download(gpu, out, before.length), want, bound)).toBeNull();
      });
    }

    test(`gate-up-matmul-fp8.broadcast 2 x ${rows} x ${cols}, ${tokens} tokens`, async () => {
      const matrix = mildMatrix(2 * rows, cols, rows * cols);
      const x = randomValues(tokens * cols, 5);
      const want = new Float32Array(tokens * rows);
      cpuGateUp(want, matrix, x, tokens);

      const before = new Float32Array((tokens + 2) * rows).fill(7);
      const out = { data: uploadRows(gpu, before, 1, before.length).data, width: rows };
      recordProduct(gpu, {
        out,
        matrix: uploadParts(gpu, matrix, true, 34),
        x: uploadRows(gpu, x, tokens, cols),
        add: false,
        tokens,
        xFirst: 0,
        outFirst: 1,
      }, BROADCAST_GATE_UP);
      const got = await download(gpu, out, before.length);
      const own = got.subarray(rows, (tokens + 1) * rows);
      expect(gateUpDifference(own, want, matrix, x)).toBeNull();
      expect(got.subarray(0, rows)).toEqual(before.subarray(0, rows));
      expect(got.subarray((tokens + 1) * rows)).toEqual(before.subarray(0, rows));
    });
  }
}
