import { expect, test } from "bun:test";
import fc from "fast-check";
import { Random } from "../../src/engine/random.ts";
import type { Sampling, TokenConstraint } from "../../src/engine/request.ts";
import { type SampleOptions, Sampler } from "../../src/engine/sampler.ts";
import { errorCode } from "../../src/errors.ts";

const plain: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 };
const greedy: Sampling = { ...plain, temperature: 0 };
/** Probabilities 0.4, 0.3, 0.2, 0.1 under ids 2, 0, 3, 1. */
const logits = Float32Array.from([0.3, 0.1, 0.4, 0.2], Math.log);

const sampler = (sampling: Sampling, vocabulary = logits.length, prompt: number[] = []) =>
  new Sampler(sampling, { prompt, vocabulary });

const next = (row: Float32Array, sampling: Sampling, options: SampleOptions = {}) =>
  sampler(sampling, row.length).next(row, options);

const admitting = (admits: (token: number) => boolean): TokenConstraint => ({
  admits,
  accept() {},
});

function countsOf(row: Float32Array, sampling: Sampling, draws: number, options?: SampleOptions) {
  const counts = new Array<number>(row.length).fill(0);
  const drawing = sampler(sampling, row.length);
  for (let i = 0; i < draws; i++) {
    const { token } = drawing.next(row, options);
    counts[token] = (counts[token] as number) + 1;
  }
  return counts;
}

const frequencies = (sampling: Sampling, options?: SampleOptions) =>
  countsOf(logits, sampling, 20_000, options).map((n) => n / 20_000);

function expectNear(got: number[], want: number[]) {
  for (const [i, p] of want.entries()) expect(Math.abs((got[i] as number) - p)).toBeLessThan(0.015);
}

const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return errorCode(error);
  }
};

test("temperature 1 draws with the model's probabilities", () => {
  expectNear(frequencies(plain), [0.3, 0.1, 0.4, 0.2]);
});

test("temperature 0 takes the likeliest, and the lowest id of equals", () => {
  expect(next(logits, greedy).token).toBe(2);
  expect(next(Float32Array.of(1, 5, 5, 0), greedy).token).toBe(1);
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
  expectNear(frequencies({ ...plain, topP: Number.MIN_VALUE, typicalP: 0.1 }), [1, 0, 0, 0]);
});

test("min-p keeps what is not much less likely than the likeliest", () => {
  expectNear(frequencies({ ...plain, minP: 0.45 }), [3 / 9, 0, 4 / 9, 2 / 9]);
});

test("typical-p keeps what is as surprising as can be expected", () => {
  // The entropy is 1.28 nats; the surprises are 1.20, 2.30, 0.92 and 1.61.
  expectNear(frequencies({ ...plain, typicalP: 0.29 }), [1, 0, 0, 0]);
  expectNear(frequencies({ ...plain, typicalP: 0.45 }), [3 / 5, 0, 0, 2 / 5]);
  expectNear(frequencies({ ...plain, typicalP: 0.85 }), [3 / 9, 0, 4 / 9, 2 / 9]);
});

test("top-p counts what top-k has left", () => {
  expectNear(frequencies({ ...plain, topK: 2, topP: 0.5 }), [0, 0, 1, 0]);
});

/** The tokens that the filters keep, by the definitions: everything sorted, in float64. */
function naiveKept(row: Float32Array, s: Sampling): Map<number, number> {
  const top = Math.max(...row);
  let kept = [...row].map((x, id) => ({ id, p: Math.exp((x - top) / s.temperature) }));
  kept = kept.filter(({ p }) => p > 0).sort((a, b) => b.p - a.p || a.id - b.id);
  const until = (p: number) => {
    const total = kept.reduce((sum, token) => sum + token.p, 0);
    let sum = 0;
    const n = kept.findIndex((token) => (sum += token.p) >= p * total);
    if (n >= 0) kept = kept.slice(0, n + 1);
  };
  if (s.topK > 0) kept = kept.slice(0, s.topK);
  if ((s.typicalP ?? 1) < 1) {
    const total = kept.reduce((sum, token) => sum + token.p, 0);
    const entropy = -kept.reduce((sum, { p }) => sum + p / total * Math.log(p / total), 0);
    const distance = (p: number) => Math.abs(-Math.log(p / total) - entropy);
    kept.sort((a, b) => distance(a.p) - distance(b.p) || a.id - b.id);
    until(s.typicalP as number);
    kept.sort((a, b) => b.p - a.p || a.id - b.id);
  }
  if (s.topP < 1) until(s.topP);
  const best = kept[0]?.p as number;
  kept = kept.filter(({ p }) => p >= s.minP * best);
  const total = kept.reduce((sum, token) => sum + token.p, 0);
  return new Map(kept.map(({ id, p }) => [id, p / total]));
}

const choice = <T>(...values: T[]) => fc.constantFrom(...values);

test("what is drawn is what the definitions keep, about as often as they say", () => {
  const settings = fc.record({
    temperature: choice(0.3, 0.8, 1, 2),
    topK: choice(0, 1, 5, 70, 1000),
    typicalP: choice(1, 0.2031, 0.9017),
    topP: choice(1, 0.1013, 0.5019, 0.9023),
    minP: choice(0, 0.0517, 0.3011),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(settings, fc.nat(), (sampling, seed) => {
      const random = new Random(seed);
      const row = Float32Array.from({ length: 200 }, () => random.uniform() * 8);
      const draws = 500;
      const want = naiveKept(row, sampling);
      let chiSquare = 0;
      for (const [id, count] of countsOf(row, sampling, draws).entries()) {
        const p = want.get(id) ?? 0;
        if (p === 0) expect(count).toBe(0);
        else chiSquare += (count - draws * p) ** 2 / (draws * p);
      }
      // Mean and standard deviation of chi-square, wide for the cells that expect less than one draw.
      const freedom = want.size - 1;
      const rare = [...want.values()].reduce((sum, p) => sum + 1 / (draws * p), 0);
      expect(chiSquare).toBeLessThanOrEqual(freedom + 6 * Math.sqrt(2 * freedom + rare) + 1e-9);
    }),
    { numRuns: 150, seed: 11 },
  );
});

test("a seed repeats its draws whatever runs beside it, another seed does not", () => {
  const draws = (seed: number, beside?: Sampler) => {
    const drawing = sampler({ ...plain, seed });
    return Array.from({ length: 50 }, () => {
      beside?.next(logits);
      return drawing.next(logits).token;
    }).join("");
  };
  expect(draws(5)).toBe(draws(5, sampler({ ...plain, topP: 0.5, seed: 9 })));
  expect(draws(5)).not.toBe(draws(6));
  expect(draws(5)).not.toBe(draws(5 + 2 ** 32));
});

test("log-probabilities are the model's own, whatever bias, penalties and temperature", () => {
  const sampling = {
    ...greedy,
    logitBias: new Map([[1, 50]]),
    penalties: { repetition: 1.5, frequency: 1, presence: 1, lastTokens: 8 },
  };
  const { token, logprob, top } = next(logits, sampling, { top: 2 });
  expect(token).toBe(1);
  expect(logprob).toBeCloseTo(Math.log(0.1), 6);
  expect(top?.map((t) => t.token)).toEqual([2, 0]);
  expect(top?.[0]?.logprob).toBeCloseTo(Math.log(0.4), 6);
  expect(next(logits, greedy, { top: 0 }).top).toEqual([]);
  expect(Object.keys(next(logits, greedy))).toEqual(["token"]);
});

test("the model's logits are left as they were", () => {
  const row = logits.slice();
  const drawing = sampler({ ...plain, logitBias: new Map([[0, 3]]) });
  drawing.next(row, { banned: new Set([2]), constraint: admitting((token) => token === 1) });
  expect(row).toEqual(logits);
});

test("a bias shifts the odds; a bias on every token changes nothing", () => {
  expectNear(frequencies({ ...plain, logitBias: new Map([[1, Math.log(6)]]) }), [
    0.2,
    0.4,
    0.8 / 3,
    0.4 / 3,
  ]);
  const everywhere = new Map([0, 1, 2, 3].map((id) => [id, -100]));
  expectNear(frequencies({ ...plain, logitBias: everywhere }), [0.3, 0.1, 0.4, 0.2]);
});

test("banned tokens are not drawn, and their probability goes to the others", () => {
  const banned = new Set([2, 3]);
  expectNear(frequencies(plain, { banned }), [0.75, 0.25, 0, 0]);
  expect(next(logits, greedy, { banned }).token).toBe(0);
});

test("a constraint without filters leaves the proportions of what it admits", () => {
  const constraint = admitting((token) => token !== 2);
  expectNear(frequencies(plain, { constraint }), [0.5, 1 / 6, 0, 1 / 3]);
  expect(next(logits, greedy, { constraint }).token).toBe(0);
});

test("of what the filters keep, the admitted are drawn; where none is, the filters keep others", () => {
  const topTwo = { ...plain, topK: 2 };
  const without = (...ids: number[]) => ({ constraint: admitting((t) => !ids.includes(t)) });
  expectNear(frequencies(topTwo, without(2)), [1, 0, 0, 0]);
  expectNear(frequencies(topTwo, without(0, 2)), [0, 1 / 3, 0, 2 / 3]);
});

test("the one token that is admitted is found however unlikely it is, with little asking", () => {
  const row = new Float32Array(32_000).fill(100);
  row[31_234] = -1e30;
  for (const sampling of [greedy, plain, { ...plain, topK: 40 }, { ...plain, topP: 0.9 }]) {
    let asked = 0;
    const constraint = admitting((token) => (asked++, token === 31_234));
    expect(next(row, sampling, { constraint }).token).toBe(31_234);
    expect(asked).toBeLessThanOrEqual(32_000);
  }
});

test("where nothing is left the error says so", () => {
  const none = { constraint: admitting(() => false) };
  const banned = new Set([0, 1, 2, 3]);
  for (const sampling of [greedy, plain, { ...plain, topK: 1 }]) {
    expect(codeOf(() => next(logits, sampling, none))).toBe("engine_nothing_admitted");
    expect(codeOf(() => next(logits, sampling, { banned }))).toBe("engine_nothing_admitted");
  }
});

test("logits that are no numbers are an error; minus infinity is an impossible token", () => {
  for (const sampling of [greedy, plain]) {
    for (const bad of [NaN, Infinity]) {
      expect(codeOf(() => next(Float32Array.of(1, bad, 2), sampling)))
        .toBe("engine_numerical_error");
    }
    const nothing = new Float32Array(3).fill(-Infinity);
    expect(codeOf(() => next(nothing, sampling))).toBe("engine_numerical_error");
  }
  const one = Float32Array.of(-Infinity, -3, -Infinity);
  const biased = { ...plain, logitBias: new Map([[0, 100]]) };
  for (let i = 0; i < 20; i++) expect(next(one, { ...biased, seed: i }).token).toBe(1);
  expect(next(one, plain, { top: 2 }).top?.map((t) => t.logprob)).toEqual([0, -Infinity]);
});

test("large logits and extreme settings neither overflow nor underflow", () => {
  const large = Float32Array.of(3e38, 3e38, -3e38);
  const penalties = {
    repetition: 10,
    frequency: -10,
    presence: -10,
    lastTokens: 4_096,
    dry: { multiplier: 10, base: 10, allowedLength: 0, breakers: new Set<number>() },
  };
  for (const temperature of [0, 1e-300, 1, 100]) {
    const sampling = { ...plain, temperature, penalties, logitBias: new Map([[0, 100]]) };
    const drawing = sampler(sampling, 3, new Array(5_000).fill(2));
    for (let i = 0; i < 20; i++) {
      const { token } = drawing.next(large);
      expect(token).toBeLessThan(2);
      drawing.accept(token);
    }
  }
});

test("penalties turn a model that repeats itself away from what it said", () => {
  const row = Float32Array.of(0, 2, 3, 1);
  const said = (penalties: Partial<Sampling["penalties"]>) => {
    const off = { repetition: 1, frequency: 0, presence: 0, lastTokens: 8 };
    const drawing = sampler({ ...greedy, penalties: { ...off, ...penalties } }, 4, [2]);
    return [0, 0, 0, 0].map(() => {
      const { token } = drawing.next(row);
      drawing.accept(token);
      return token;
    });
  };
  expect(said({})).toEqual([2, 2, 2, 2]);
  expect(said({ repetition: 2 })).toEqual([1, 2, 2, 2]);
  expect(said({ frequency: 0.6 })).toEqual([2, 2, 1, 2]);
  expect(said({ presence: 2.5 })).toEqual([2, 1, 3, 2]);
  const dry = { multiplier: 9, base: 2, allowedLength: 2, breakers: new Set<number>() };
  expect(said({ dry })).toEqual([2, 2, 1, 2]);
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

test("of equals that not all fit, the filters keep the lowest ids", () => {
  const row = new Float32Array(150);
  const drawn = (sampling: Partial<Sampling>) => {
    const counts = countsOf(row, { ...plain, ...sampling }, 2_000);
    return counts.flatMap((n, id) => n > 0 ? [id] : []);
  };
  const first = (n: number) => Array.from({ length: n }, (_, id) => id);
  expect(drawn({ topK: 3 })).toEqual(first(3));
  expect(drawn({ topK: 100 })).toEqual(first(100));
  expect(drawn({ topP: 0.049 })).toEqual(first(8));
  expect(drawn({ typicalP: 0.049 })).toEqual(first(8));
});
