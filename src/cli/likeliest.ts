/** The likeliest tokens of a distribution. */

/** Beyond this many, sorting everything is cheaper than inserting one by one. */
const INSERTION_MAX = 64;

/**
 * Ids of the k largest of `logprobs`, largest first; the lower id first among equals.
 * @param logprobs [vocabulary]
 */
export function likeliest(logprobs: Float32Array, k: number): Uint32Array {
  const value = (id: number) => logprobs[id] as number;
  if (k > INSERTION_MAX) {
    const ids = Uint32Array.from(logprobs.keys());
    return ids.sort((a, b) => value(b) - value(a) || a - b).subarray(0, k);
  }
  const best: number[] = [];
  for (let id = 0; id < logprobs.length && k > 0; id++) {
    if (best.length === k && value(id) <= value(best[k - 1] as number)) continue;
    let at = best.length;
    while (at > 0 && value(best[at - 1] as number) < value(id)) at--;
    best.splice(at, 0, id);
    best.length = Math.min(best.length, k);
  }
  return Uint32Array.from(best);
}
