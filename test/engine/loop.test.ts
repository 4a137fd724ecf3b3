import { expect, test } from "bun:test";
import fc from "fast-check";
import { LoopDetector } from "../../src/engine/loop.ts";
import { limits } from "../../src/limits.ts";

const { loopTokens, loopPeriod } = limits;

/** How many tokens it takes until the detector fires; undefined when it does not. */
function firesAt(tokens: readonly number[]): number | undefined {
  const detector = new LoopDetector();
  const at = tokens.findIndex((token) => detector.push(token));
  return at < 0 ? undefined : at + 1;
}

/** By the definition. */
function naive(tokens: readonly number[]): number | undefined {
  for (let end = loopTokens; end <= tokens.length; end++) {
    const last = tokens.slice(end - loopTokens, end);
    for (let period = 1; period <= loopPeriod; period++) {
      let i = period;
      while (i < loopTokens && last[i] === last[i - period]) i++;
      if (i === loopTokens) return end;
    }
  }
}

const periodic = (period: number, length: number) =>
  Array.from({ length }, (_, i) => (i % period) ** 2);

test.each([1, 2, 3, 100, 255, 256])(
  "fires at the 512th token of period %d, not before",
  (period) => {
    expect(firesAt(periodic(period, loopTokens - 1))).toBeUndefined();
    expect(firesAt(periodic(period, loopTokens + 10))).toBe(loopTokens);
  },
);

test("a longer period is no loop", () => {
  expect(firesAt(periodic(loopPeriod + 1, 4 * loopTokens))).toBeUndefined();
});

test("text that only nearly repeats itself is no loop", () => {
  const nearly = Array.from({ length: 100_000 }, (_, i) => i % 400 === 0 ? i : i % 7);
  expect(firesAt(nearly)).toBeUndefined();
});

test("agrees with the definition on loops that begin late and are disturbed", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(3), { maxLength: 300 }),
      fc.integer({ min: 1, max: loopPeriod + 4 }),
      fc.array(fc.nat(700), { maxLength: 2 }),
      fc.nat(),
      (before, period, disturbed, seed) => {
        const tokens = [...before];
        for (let i = 0; i < 700; i++) tokens.push(((i % period) * 2654435761 + seed) % 4);
        for (const i of disturbed) tokens[i] = 9;
        expect(firesAt(tokens)).toBe(naive(tokens));
      },
    ),
    { numRuns: 40 },
  );
});
