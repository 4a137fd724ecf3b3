import { expect, test } from "bun:test";
import fc from "fast-check";
import { likeliest, logSoftmax, tokenLogprobs } from "../../src/engine/logprobs.ts";

test("the likeliest are the beginning of the whole order, lower ids first among equals", () => {
  const score = fc.constantFrom(-Infinity, -2, -1, 0, 0.5, 3);
  fc.assert(
    fc.property(fc.array(score, { minLength: 1, maxLength: 200 }), fc.nat(210), (scores, count) => {
      const before = (a: number, b: number) => a === b ? 0 : a < b ? 1 : -1;
      const order = scores.map((_, id) => id)
        .sort((a, b) => before(scores[a] as number, scores[b] as number) || a - b);
      expect(likeliest(Float32Array.from(scores), count)).toEqual(order.slice(0, count));
    }),
    { numRuns: 500 },
  );
});

test("log-probabilities are those of float64 arithmetic", () => {
  const row = Float32Array.from({ length: 1_000 }, (_, i) => Math.sin(i) * 20);
  const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
  const { logprob, top } = tokenLogprobs(row, Math.max(...row), 5, 3);
  expect(logprob).toBeCloseTo((row[5] as number) - Math.log(total), 5);
  expect(top.map((t) => t.token)).toEqual(likeliest(row, 3));
  for (const { token, logprob } of top) {
    expect(logprob).toBeCloseTo((row[token] as number) - Math.log(total), 5);
  }
});

test("large logits neither overflow nor underflow", () => {
  expect(logSoftmax(Float32Array.of(1e30, 1e30, -1e30))[0]).toBeCloseTo(Math.log(0.5), 6);
  expect(logSoftmax(Float32Array.of(0, -Infinity))[1]).toBe(-Infinity);
});
