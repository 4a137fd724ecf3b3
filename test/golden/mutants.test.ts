import { expect, test } from "bun:test";
import { mutants } from "./mutants.ts";
import { largestDifference, Reference } from "./reference.ts";
import { tinyModel, tinyTokens } from "./tiny-model.ts";

/** What golden.test.ts lets a backend be off by. */
const TOLERANCE = 2e-3;

for (const [name, { what, shape, make, sinks }] of Object.entries(mutants)) {
  test(`${name} would be noticed: ${what}`, () => {
    const model = tinyModel(shape);
    const tokens = tinyTokens(model, 40);
    const window: [number, number] = sinks ? [4, 16] : [0, Infinity];
    const right = new Reference(model).run(tokens, ...window);
    const wrong = make(model).run(tokens, ...window);
    expect(largestDifference(right, wrong)).toBeGreaterThan(5 * TOLERANCE);
  });
}

test("the tiny models decide nothing by less than float32 can tell", () => {
  const shapes = new Set(Object.values(mutants).map(({ shape }) => JSON.stringify(shape)));
  for (const shape of shapes) {
    const model = tinyModel(JSON.parse(shape));
    const reference = new Reference(model);
    reference.run(tinyTokens(model, 40));
    expect(reference.routerGap).toBeGreaterThan(5e-4);
  }
});
