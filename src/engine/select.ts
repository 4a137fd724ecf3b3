/** Selection without sorting: the best of many, as many as it takes. */

/**
 * Moves to the front of `ids[0, count)` the ids of smallest key, the lower id first among equals, as
 * few as it takes for their masses to reach `target`; returns their number, and all of them where the
 * whole mass falls short. Their order at the front is arbitrary but the same for the same input.
 * Quickselect (Hoare 1961, "Algorithm 65: Find") that adds up masses instead of counting: expected time
 * linear in `count`.
 * @param key by id; no NaN
 * @param mass by id; not negative. Undefined: 1 each
 */
export function selectMass(
  ids: Uint32Array,
  count: number,
  key: Float32Array | Float64Array,
  mass: Float64Array | undefined,
  target: number,
): number {
  let low = 0;
  let high = count;
  let reached = 0;
  while (low < high) {
    const middle = partition(ids, low, high, key);
    let front = mass ? 0 : middle - low;
    if (mass) { for (let i = low; i < middle; i++) front += mass[ids[i] as number] as number; }
    if (reached + front >= target) {
      // Neither the pivot nor what follows it is needed.
      high = middle;
      continue;
    }
    reached += front + (mass ? mass[ids[middle] as number] as number : 1);
    low = middle + 1;
    if (reached >= target) break;
  }
  // A target that was rounded to nothing still takes the first.
  return Math.max(low, Math.min(1, count));
}

/** Where the pivot ends up: before it what precedes it, after it what follows it. */
function partition(
  ids: Uint32Array,
  low: number,
  high: number,
  key: Float32Array | Float64Array,
): number {
  const last = high - 1;
  swap(ids, medianOfThree(ids, low, last, key), last);
  const pivot = ids[last] as number;
  const pivotKey = key[pivot] as number;
  let end = low;
  for (let i = low; i < last; i++) {
    const id = ids[i] as number;
    const k = key[id] as number;
    if (k < pivotKey || (k === pivotKey && id < pivot)) swap(ids, i, end++);
  }
  swap(ids, end, last);
  return end;
}

function medianOfThree(
  ids: Uint32Array,
  low: number,
  last: number,
  key: Float32Array | Float64Array,
): number {
  const middle = (low + last) >>> 1;
  const before = (i: number, j: number) => {
    const a = ids[i] as number;
    const b = ids[j] as number;
    const difference = (key[a] as number) - (key[b] as number);
    return difference < 0 || (!(difference > 0) && a < b);
  };
  const [small, large] = before(low, last) ? [low, last] : [last, low];
  if (before(middle, small)) return small;
  return before(large, middle) ? large : middle;
}

function swap(ids: Uint32Array, i: number, j: number): void {
  const id = ids[i] as number;
  ids[i] = ids[j] as number;
  ids[j] = id;
}
