import { expect, test } from "bun:test";
import { expertGateUp as cpuExpertGateUp } from "../../src/backend/cpu/expert-gate-up.ts";
import { expertGateUp } from "../../src/backend/gpu/expert-gate-up.ts";
import { randomExpert, routesOf } from "./expert-fixtures.ts";
import { gateUpDifference } from "./gate-up-fixtures.ts";
import { devices, download, randomValues, upload, uploadRows } from "./product-fixtures.ts";

const shapes = [[1, 1], [17, 3], [96, 17], [64, 704]] as const;
/** Rows of a batch of 9 that chose the first expert, and the second; null: there is no second. */
const choices = [
  [[0], [0]],
  [[8], null],
  [[3], [7]],
  [[1, 4], null],
  [[0, 2, 3, 5, 8], null],
] as const;

for (const { name, gpu } of devices) {
  for (const [hidden, width] of shapes) {
    for (const [a, b] of choices) {
      test(`expert-gate-up (${name}) ${hidden} to ${width}, rows ${a} and ${b}`, async () => {
        const experts = [randomExpert(hidden, width, 1), randomExpert(hidden, width, 2)] as const;
        const x = randomValues(9 * hidden, 3);
        // Rows that chose neither may be NaN.
        for (let row = 0; row < 9; row++) {
          if (![...a, ...(b ?? [])].some((chosen) => chosen === row)) {
            x.fill(NaN, row * hidden, (row + 1) * hidden);
          }
        }
        const pairs = a.length + (b?.length ?? 0);
        const padded = Math.ceil(width / 4) * 4;
        const h = { data: upload(gpu, new Float32Array(pairs * padded)), width: padded };
        const [first, second] = experts.map(({ record }) => upload(gpu, record));
        expertGateUp(gpu, {
          layout: experts[0].layout,
          a: { record: first!, first: 0, count: a.length },
          b: b === null ? null : { record: second!, first: a.length, count: b.length },
          routes: upload(gpu, routesOf(a, b ?? [], new Float32Array(pairs))),
          h,
        }, uploadRows(gpu, x, 9, hidden));

        const got = await download(gpu, h, pairs * padded);
        [...a, ...(b ?? [])].forEach((row, i) => {
          const { gateUp } = experts[i < a.length ? 0 : 1];
          const input = x.subarray(row * hidden, (row + 1) * hidden);
          const want = new Float32Array(width);
          cpuExpertGateUp(want, gateUp, x, Uint32Array.of(row));
          const own = got.subarray(i * padded, i * padded + width);
          expect(gateUpDifference(own, want, gateUp, input)).toBeNull();
          expect(got.subarray(i * padded + width, (i + 1) * padded).every((v) => v === 0)).toBe(
            true,
          );
        });
      });
    }
  }
}
