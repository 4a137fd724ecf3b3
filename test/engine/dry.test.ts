import { expect, test } from "bun:test";
import fc from "fast-check";
import { DryPenalty } from "../../src/engine/dry.ts";
import { limits } from "../../src/limits.ts";

const off = { multiplier: 1, base: 2, allowedLength: 2, breakers: new Set<number>() };

/** By the definition: each earlier place compared with the end, token by token. */
function naive(window: number[], allowed: number, breakers: ReadonlySet<number>) {
  const longest = new Map<number, number>();
  const last = window.length - 1;
  for (let end = 0; end < last; end++) {
    let n = 0;
    while (
      n <= end && window[end - n] === window[last - n] && !breakers.has(window[end - n] ?? -1)
    ) n++;
    const next = window[end + 1] as number;
    if (n < Math.max(1, allowed) || breakers.has(next)) continue;
    longest.set(next, Math.max(n, longest.get(next) ?? 0));
  }
  return longest;
}

const sorted = (map: ReadonlyMap<number, number>) => [...map].sort(([a], [b]) => a - b);

test("finds the repetitions that comparing every place with the end finds", () => {
  const token = fc.nat(2);
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 40 }),
      fc.array(token, { maxLength: 40 }),
      fc.integer({ min: 1, max: 30 }),
      fc.nat(4),
      fc.uniqueArray(token, { maxLength: 1 }),
      (prompt, output, lastTokens, allowedLength, breakerIds) => {
        const breakers = new Set(breakerIds);
        const dry = new DryPenalty({ ...off, allowedLength, breakers }, lastTokens, prompt);
        for (const id of output) dry.accept(id);
        const window = [...prompt, ...output].slice(-lastTokens);
        expect(sorted(dry.prolonged())).toEqual(sorted(naive(window, allowedLength, breakers)));
      },
    ),
    { numRuns: 500 },
  );
});

test("the penalty grows with the length of the repetition", () => {
  const dry = new DryPenalty({ ...off, multiplier: 0.5, base: 3 }, 64, [1, 2, 3, 4, 9, 1, 2, 3]);
  const logits = new Float32Array(10);
  dry.apply(logits);
  expect([...logits]).toEqual([0, 0, 0, 0, -1.5, 0, 0, 0, 0, 0]);
});

test("no repetition reaches across a breaker", () => {
  const dry = new DryPenalty({ ...off, breakers: new Set([2]) }, 64, [1, 2, 3, 4, 9, 1, 2, 3]);
  expect(dry.prolonged().size).toBe(0);
});

test("the longest repetitions stay finite", () => {
  const tokens = new Array<number>(limits.penaltyTokens).fill(1);
  const dry = new DryPenalty({ ...off, base: 10 }, limits.penaltyTokens, tokens);
  const logits = Float32Array.of(5, 5, -Infinity);
  dry.apply(logits);
  expect([...logits]).toEqual([5, 5 - limits.dryPenalty, -Infinity]);
});
