/** What attention-decode and attention-prefill share: one key head at a time, 4 slots at once. */

import type { RopeTable } from "./rope.ts";
import type { Workspace } from "./workspace.ts";

/** The entries that a query sees, and the keys of one head among them. */
export interface SeenKeys {
  /** [n] row of the pages, slot by slot */
  readonly rows: Uint32Array;
  /** [slots, headDim], from the slot that `rotateKeys` was told to begin with */
  readonly rotated: Float64Array;
}

/**
 * Rotates the keys of slots from..to of one key head, each by its slot.
 *
 * @param keys [rows of the pages, kvHeads, headDim]
 * @param first slot of the first row of `seen.rotated`
 */
export function rotateKeys(
  seen: SeenKeys,
  from: number,
  to: number,
  keys: Float32Array,
  kvHead: number,
  kvHeads: number,
  table: RopeTable,
  first = 0,
): void {
  const { rows, rotated } = seen;
  const { cos, sin, headDim } = table;
  const half = headDim / 2;
  for (let slot = from; slot < to; slot++) {
    const source = (rows[slot]! * kvHeads + kvHead) * headDim;
    const target = (slot - first) * headDim, angles = slot * half;
    for (let i = 0; i < half; i++) {
      const c = cos[angles + i]!, s = sin[angles + i]!;
      const a = keys[source + i]!, b = keys[source + half + i]!;
      rotated[target + i] = a * c - b * s;
      rotated[target + half + i] = b * c + a * s;
    }
  }
}

/**
 * out [headDim] = softmax(query k^T / sqrt(headDim)) v over the first n slots.
 *
 * @param query [headDim], rotated
 * @param values [rows of the pages, kvHeads, headDim]
 */
export function attendHead(
  out: Float32Array,
  query: Float64Array,
  seen: SeenKeys,
  n: number,
  values: Float32Array,
  kvHead: number,
  kvHeads: number,
  workspace: Workspace,
): void {
  const scores = workspace.f64("scores", 4 * Math.ceil(n / 4));
  scoreSlots(scores, 0, query, seen.rotated, n);
  softmax(scores, 0, n);
  mixValues(out, scores, 0, seen.rows, n, values, kvHead, kvHeads, workspace);
}

/** scores [n up to a multiple of 4] from `at` on = query k^T / sqrt(headDim) of the first n `rotated` keys */
export function scoreSlots(
  scores: Float64Array,
  at: number,
  query: Float64Array,
  rotated: Float64Array,
  n: number,
): void {
  const headDim = query.length;
  const factor = 1 / Math.sqrt(headDim);
  for (let j = 0; j < n; j += 4) {
    const k0 = j * headDim;
    const k1 = Math.min(j + 1, n - 1) * headDim;
    const k2 = Math.min(j + 2, n - 1) * headDim;
    const k3 = Math.min(j + 3, n - 1) * headDim;
    let a = 0, b = 0, c = 0, d = 0;
    for (let i = 0; i < headDim; i = (i + 1) | 0) {
      const q = query[i]!;
      a += q * rotated[(k0 + i) | 0]!;
      b += q * rotated[(k1 + i) | 0]!;
      c += q * rotated[(k2 + i) | 0]!;
      d += q * rotated[(k3 + i) | 0]!;
    }
    scores[at + j] = a * factor, scores[at + j + 1] = b * factor;
    scores[at + j + 2] = c * factor, scores[at + j + 3] = d * factor;
  }
}

/** n scores from `at` on become probabilities, those that fill up a multiple of 4 become 0. */
export function softmax(scores: Float64Array, at: number, n: number): void {
  const end = at + n;
  let max = -Infinity;
  for (let j = at; j < end; j++) max = Math.max(max, scores[j]!);
  let sum = 0;
  for (let j = at; j < end; j++) {
    const e = Math.exp(scores[j]! - max);
    scores[j] = e;
    sum += e;
  }
  for (let j = at; j < end; j++) scores[j] = scores[j]! / sum;
  scores.fill(0, end, at + 4 * Math.ceil(n / 4));
}

/** out [headDim] = sum over n slots of probability * value; the probabilities begin at `at` */
export function mixValues(
  out: Float32Array,
  probabilities: Float64Array,
  at: number,
  rows: Uint32Array,
  n: number,
  values: Float32Array,
  kvHead: number,
  kvHeads: number,
  workspace: Workspace,
): void {
  const headDim = out.length;
  const mixed = workspace.f64("mixed", headDim).fill(0, 0, headDim);
  const start = (slot: number) => (rows[Math.min(slot, n - 1)]! * kvHeads + kvHead) * headDim;
  for (let j = 0; j < n; j += 4) {
    const v0 = start(j), v1 = start(j + 1), v2 = start(j + 2), v3 = start(j + 3);
    const p0 = probabilities[at + j]!, p1 = probabilities[at + j + 1]!;
    const p2 = probabilities[at + j + 2]!, p3 = probabilities[at + j + 3]!;
    for (let i = 0; i < headDim; i++) {
      mixed[i] = mixed[i]! + (p0 * values[v0 + i]! + p1 * values[v1 + i]!) +
        (p2 * values[v2 + i]! + p3 * values[v3 + i]!);
    }
  }
  for (let i = 0; i < headDim; i++) out[i] = mixed[i]!;
}
