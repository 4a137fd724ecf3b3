/** Log-probabilities, and the likeliest tokens of a distribution. */

import { ArcticError } from "../errors.ts";
import type { TokenLogprob } from "./events.ts";
import { selectMass } from "./select.ts";

/** Beyond this many, selecting them all at once is cheaper than inserting one by one. */
const INSERTION_MAX = 64;

/**
 * The lowest id of the largest logit.
 * @throws ArcticError `engine_numerical_error` when a logit is not a number, or none is finite
 */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let top = -Infinity;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const x = logits[i] as number;
    // NaN for NaN and for infinities, 0 for all else: one look at the end instead of one each.
    sum += x - x;
    if (x > top) {
      top = x;
      best = i;
    }
  }
  if (sum !== 0) {
    const nan = logits.findIndex(Number.isNaN);
    if (nan >= 0) throw numericalError(`logit ${nan} is not a number`);
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

/**
 * Log-probabilities of one token and of the `count` likeliest, likeliest first.
 * @param logits [vocabulary], checked by `argmax`
 * @param top the largest of them
 */
export function tokenLogprobs(
  logits: Float32Array,
  top: number,
  token: number,
  count: number,
): { readonly logprob: number; readonly top: readonly TokenLogprob[] } {
  const shares = logShares(logits, top);
  const logprob = (id: number) => (logits[id] as number) - top - shares;
  return {
    logprob: logprob(token),
    top: likeliest(logits, count).map((id) => ({ token: id, logprob: logprob(id) })),
  };
}

/**
 * Ids of the `count` largest of `scores`, largest first; the lower id first among equals.
 * @param scores logits or log-probabilities [vocabulary]; no NaN
 */
export function likeliest(scores: Float32Array, count: number): number[] {
  if (count > INSERTION_MAX) {
    const score = (id: number) => scores[id] as number;
    const ids = largest(scores, count);
    return [...ids.sort((a, b) => score(a) < score(b) ? 1 : score(a) > score(b) ? -1 : a - b)];
  }
  const best: number[] = [];
  if (count === 0) return best;
  let least = -Infinity;
  for (let id = 0; id < scores.length; id++) {
    const x = scores[id] as number;
    if (best.length === count && x <= least) continue;
    if (best.length === count) best.pop();
    let at = best.length;
    while (at > 0 && (scores[best[at - 1] as number] as number) < x) at--;
    best.splice(at, 0, id);
    least = scores[best.at(-1) as number] as number;
  }
  return best;
}

/** The same in no particular order. */
function largest(scores: Float32Array, count: number): Uint32Array {
  const ids = Uint32Array.from(scores.keys());
  if (count >= ids.length) return ids;
  const negated = scores.map((x) => -x);
  return ids.subarray(0, selectMass(ids, ids.length, negated, undefined, count));
}
