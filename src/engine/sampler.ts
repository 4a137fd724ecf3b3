/**
 * From logits to one token. Temperature first, then the filters in the order top-k, top-p, min-p, on
 * probabilities after temperature: the order of vLLM and Transformers.
 *
 * top-p: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration". min-p: Nguyen et al.
 * 2024, "Turning Up the Heat".
 */

import { ArcticError } from "../errors.ts";
import type { Random } from "./random.ts";
import { limits } from "../limits.ts";
import type { Sampling, TokenConstraint } from "./request.ts";

export interface Sampled {
  readonly token: number;
  /** Natural log-probability under the model itself: before temperature and filters. */
  readonly logprob: number;
}

/**
 * @param logits [vocabulary]
 * @throws ArcticError `engine_numerical_error` when a logit is not a number
 */
export function sample(logits: Float32Array, sampling: Sampling, random: Random): Sampled {
  const likeliest = argmax(logits);
  const token = sampling.temperature === 0 ? likeliest : draw(logits, likeliest, sampling, random);
  const top = logits[likeliest] as number;
  return { token, logprob: (logits[token] as number) - top - logShares(logits, top) };
}

/**
 * As `sample`, from the tokens that a constraint admits: one that it does not admit is taken out and
 * another is drawn, which gives the same probabilities as taking out all of them first.
 * @throws ArcticError `engine_nothing_admitted` when many likely tokens are refused in a row
 */
export function sampleAdmitted(
  logits: Float32Array,
  sampling: Sampling,
  random: Random,
  constraint: TokenConstraint,
): Sampled {
  const left = logits.slice();
  const most = Math.min(limits.constraintTries, logits.length);
  for (let tries = 0; tries < most; tries++) {
    const sampled = sample(left, sampling, random);
    if (constraint.admits(sampled.token)) return sampled;
    left[sampled.token] = -Infinity;
  }
  throw new ArcticError(
    "engine_nothing_admitted",
    `None of the ${most} likeliest tokens is allowed here by what the output must be.`,
  );
}

/** The lowest id of the largest logit. */
function argmax(logits: Float32Array): number {
  let best = 0;
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const x = logits[i] as number;
    if (x > top) {
      top = x;
      best = i;
    } else if (Number.isNaN(x)) {
      throw numericalError(`logit ${i} is not a number`);
    }
  }
  if (!Number.isFinite(top)) throw numericalError(`the largest logit is ${top}`);
  return best;
}

function numericalError(what: string): ArcticError {
  return new ArcticError(
    "engine_numerical_error",
    `The model's output cannot be sampled: ${what}. The weights may be damaged; run ` +
      "`arctic verify` on the model.",
  );
}

/** log(sum(exp(logits - top))): with the largest logit taken out, nothing overflows. */
function logShares(logits: Float32Array, top: number): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] as number) - top);
  return Math.log(sum);
}

/**
 * Natural log-probabilities of all tokens.
 * @throws ArcticError `engine_numerical_error` when a logit is not a number
 */
export function logSoftmax(logits: Float32Array): Float32Array {
  const top = logits[argmax(logits)] as number;
  const shares = logShares(logits, top);
  return logits.map((x) => x - top - shares);
}

function draw(
  logits: Float32Array,
  likeliest: number,
  sampling: Sampling,
  random: Random,
): number {
  const { temperature } = sampling;
  const top = logits[likeliest] as number;
  // Probabilities relative to the likeliest token's.
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp(((logits[i] as number) - top) / temperature);
  }
  const kept = filter(weights, sampling);
  let total = 0;
  for (const i of kept) total += weights[i] as number;
  let rest = random.uniform() * total;
  for (const i of kept) {
    rest -= weights[i] as number;
    if (rest < 0) return i;
  }
  return likeliest;
}

/** The tokens that may be drawn, likeliest first; in order of id when every token may. */
function filter(weights: Float64Array, { topK, topP, minP }: Sampling): Uint32Array {
  const ids = Uint32Array.from(weights.keys());
  if (topK === 0 && topP === 1 && minP === 0) return ids;

  const weight = (i: number) => weights[i] as number;
  const floor = Math.max(kthLargest(weights, topK), topK > 0 ? 0 : nucleusFloor(weights, topP));
  let kept = ids.filter((i) => weight(i) >= floor).sort((a, b) => weight(b) - weight(a) || a - b);
  if (topK > 0) kept = kept.subarray(0, topK);
  if (topP < 1) kept = kept.subarray(0, nucleus(kept, weights, topP));
  if (minP > 0) kept = kept.filter((i) => weight(i) >= minP);
  return kept;
}

/** The k-th largest weight; 0 when all are wanted. Sorting numbers is far quicker than sorting ids. */
function kthLargest(weights: Float64Array, k: number): number {
  if (k === 0 || k >= weights.length) return 0;
  return weights.slice().sort()[weights.length - k] as number;
}

/**
 * No weight below this is in the nucleus: all of them together are less than the 1 - p of the whole
 * that it leaves out. Sorting what remains is quick.
 */
function nucleusFloor(weights: Float64Array, p: number): number {
  let total = 0;
  for (const weight of weights) total += weight;
  return (1 - p) * total / weights.length;
}

/** How many of `sorted` it takes for their share of the whole to reach p. */
function nucleus(sorted: Uint32Array, weights: Float64Array, p: number): number {
  let total = 0;
  for (const i of sorted) total += weights[i] as number;
  let sum = 0;
  for (let n = 0; n < sorted.length; n++) {
    sum += weights[sorted[n] as number] as number;
    if (sum >= p * total) return n + 1;
  }
  return sorted.length;
}
