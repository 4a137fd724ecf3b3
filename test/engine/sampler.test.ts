import { expect, test } from "bun:test";
import { Random } from "../../src/engine/random.ts";
import type { Sampling } from "../../src/engine/request.ts";
import { logSoftmax, sample } from "../../src/engine/sampler.ts";

const plain: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0 };
/** Probabilities 0.4, 0.3, 0.2, 0.1 under ids 2, 0, 3, 1. */
const logits = Float32Array.from([0.3, 0.1, 0.4, 0.2], Math.log);

function frequencies(sampling: Sampling, draws = 20_000): number[] {
  const random = new Random(7);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < draws; i++) {
    const { token } = sample(logits, sampling, random);
    counts[token] = (counts[token] as number) + 1;
  }
  return counts.map((n) => n / draws);
}

function expectNear(got: number[], want: number[]) {
  for (const [i, p] of want.entries()) expect(Math.abs((got[i] as number) - p)).toBeLessThan(0.015);
}

test("temperature 1 draws with the model's probabilities", () => {
  expectNear(frequencies(plain), [0.3, 0.1, 0.4, 0.2]);
});

test("temperature 0 takes the likeliest, and the lowest id of equals", () => {
  const greedy = { ...plain, temperature: 0 };
  expect(sample(logits, greedy, new Random(1)).token).toBe(2);
  expect(sample(Float32Array.of(1, 5, 5, 0), greedy, new Random(1)).token).toBe(1);
});

test("temperature 0.5 squares the probabilities", () => {
  const squares = [0.09, 0.01, 0.16, 0.04].map((p) => p / 0.3);
  expectNear(frequencies({ ...plain, temperature: 0.5 }), squares);
});

test("top-k keeps the k likeliest", () => {
  expectNear(frequencies({ ...plain, topK: 2 }), [3 / 7, 0, 4 / 7, 0]);
});

test("top-p keeps the smallest set that reaches p", () => {
  expectNear(frequencies({ ...plain, topP: 0.69 }), [3 / 7, 0, 4 / 7, 0]);
  expectNear(frequencies({ ...plain, topP: 0.71 }), [3 / 9, 0, 4 / 9, 2 / 9]);
  expectNear(frequencies({ ...plain, topP: 0.01 }), [0, 0, 1, 0]);
});

test("min-p keeps what is not much less likely than the likeliest", () => {
  expectNear(frequencies({ ...plain, minP: 0.45 }), [3 / 9, 0, 4 / 9, 2 / 9]);
});

test("top-p counts what top-k has left", () => {
  expectNear(frequencies({ ...plain, topK: 2, topP: 0.5 }), [0, 0, 1, 0]);
});

test("a seed repeats its draws, another seed does not", () => {
  const draws = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 50 }, () => sample(logits, plain, random).token).join("");
  };
  expect(draws(5)).toBe(draws(5));
  expect(draws(5)).not.toBe(draws(6));
  expect(draws(5)).not.toBe(draws(5 + 2 ** 32));
});

test("the log-probability is the model's own, whatever the temperature", () => {
  const { token, logprob } = sample(logits, { ...plain, temperature: 0 }, new Random(1));
  expect(token).toBe(2);
  expect(logprob).toBeCloseTo(Math.log(0.4), 6);
  expect(logSoftmax(logits)[1]).toBeCloseTo(Math.log(0.1), 6);
});

test("large logits neither overflow nor underflow", () => {
  const large = Float32Array.of(1e30, 1e30, -1e30);
  expect(sample(large, plain, new Random(1)).token).toBeLessThan(2);
  expect(logSoftmax(large)[0]).toBeCloseTo(Math.log(0.5), 6);
});

test("uniform numbers are uniform and below 1", () => {
  const random = new Random(0);
  const bins = new Uint32Array(10);
  for (let i = 0; i < 100_000; i++) {
    const bin = Math.floor(random.uniform() * 10);
    bins[bin] = (bins[bin] as number) + 1;
  }
  for (const n of bins) expect(Math.abs(n - 10_000)).toBeLessThan(400);
});
