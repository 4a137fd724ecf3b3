import { expect, test } from "bun:test";
import { expertDown as cpuExpertDown } from "../../src/backend/cpu/expert-down.ts";
import { expertDown } from "../../src/backend/gpu/expert-down.ts";
import { randomExpert, routesOf } from "./expert-fixtures.ts";
import {
  devices,
  difference,
  download,
  magnitudes,
  randomValues,
  upload,
  uploadRows,
} from "./product-fixtures.ts";

const shapes = [[1, 1], [3, 17], [17, 96], [64, 704]] as const;
/** As in expert-gate-up.test.ts; the first has both experts add to the same row. */
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
      test(`expert-down (${name}) ${width} to ${hidden}, rows ${a} and ${b}`, async () => {
        const experts = [randomExpert(hidden, width, 1), randomExpert(hidden, width, 2)] as const;
        const pairs = a.length + (b?.length ?? 0);
        const h = randomValues(pairs * width, 3);
        const weights = randomValues(pairs, 4).map(Math.abs);
        const before = randomValues(9 * hidden, 5);
        const want = before.slice();
        const bound = before.map(Math.abs);
        for (const [e, rows] of [a, b ?? []].entries()) {
          const start = e * a.length;
          const chosen = Uint32Array.from(rows);
          const own = weights.subarray(start);
          const input = h.subarray(start * width);
          const { down } = experts[e]!;
          cpuExpertDown(want, down, input, chosen, own);
          cpuExpertDown(bound, magnitudes(down), input.map(Math.abs), chosen, own);
        }

        // What lies behind the last pair may be anything.
        const around = new Float32Array((pairs + 1) * width).fill(NaN);
        around.set(h);
        const out = { data: upload(gpu, before), width: hidden };
        const [first, second] = experts.map(({ record }) => upload(gpu, record));
        expertDown(gpu, {
          layout: experts[0].layout,
          a: { record: first!, first: 0, count: a.length },
          b: b === null ? null : { record: second!, first: a.length, count: b.length },
          routes: upload(gpu, routesOf(a, b ?? [], weights)),
          h: uploadRows(gpu, around, pairs + 1, width),
        }, out);
        expect(difference(await download(gpu, out, 9 * hidden), want, bound)).toBeNull();
      });
    }
  }
}
