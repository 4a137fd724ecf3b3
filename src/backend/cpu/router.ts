/**
 * Chooses k experts a row: softmax over all logits, the k largest (ties: the lower id), divided by
 * their sum when k > 1. Chosen by logit, which orders as the probabilities do but cannot round two
 * different ones to the same value.
 *
 * @param experts [rows, k], likeliest first
 * @param weights [rows, k]
 * @param x [rows, width]
 * @param router [count, width]
 * @param k at most count
 */
export function router(
  experts: Uint32Array,
  weights: Float32Array,
  x: Float32Array,
  router: Float32Array,
  rows: number,
  width: number,
  count: number,
  k: number,
): void {
  const logits = new Float32Array(count);
  for (let r = 0; r < rows; r++) {
    for (let e = 0; e < count; e++) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += router[e * width + c]! * x[r * width + c]!;
      logits[e] = sum;
    }
    choose(experts.subarray(r * k, (r + 1) * k), weights.subarray(r * k, (r + 1) * k), logits);
  }
}

/**
 * One row of `router`: logits [count] to experts [k] and weights [k]. NaN is never preferred; where
 * nothing else is there, the first k experts are chosen with NaN weights.
 */
function choose(experts: Uint32Array, weights: Float32Array, logits: Float32Array): void {
  const k = experts.length;
  const order = Array.from(logits.keys());
  const rank = (e: number) => Number.isNaN(logits[e]!) ? -Infinity : logits[e]!;
  order.sort((a, b) => rank(a) === rank(b) ? a - b : rank(b) - rank(a));
  const top = logits[order[0]!]!;
  const summed = k > 1 ? order.slice(0, k) : order;
  let sum = 0;
  for (const e of summed) sum += Math.exp(logits[e]! - top);
  for (let i = 0; i < k; i++) {
    experts[i] = order[i]!;
    weights[i] = Math.exp(logits[order[i]!]! - top) / sum;
  }
}
