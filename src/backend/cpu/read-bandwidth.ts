import { limits } from "../../limits.ts";

/** Words of a cache line: what is fetched when one of them is read. */
const CACHE_LINE = 16;

/**
 * sums[i] = xor of x[i s], x[(i + n) s], x[(i + 2 n) s], … with s = stride, n = sums.length
 *
 * @param sums u32 [n]
 * @param x u32, a multiple of s
 */
export function readBandwidth(sums: Uint32Array, x: Uint32Array, stride: number): void {
  sums.fill(0);
  let at = 0;
  for (let i = 0; i < x.length; i += stride) {
    sums[at] = (sums[at] as number) ^ (x[i] as number);
    at = at + 1 === sums.length ? 0 : at + 1;
  }
}

/** Bytes a second at which one thread reads memory far larger than its caches; the best of several. */
export function measureReadBandwidth(now: () => number): number {
  const words = new Uint32Array(limits.bandwidthBytes / 4).fill(1);
  const sums = new Uint32Array(1);
  let best = Infinity;
  for (let run = 0; run < limits.bandwidthRuns; run++) {
    const start = now();
    readBandwidth(sums, words, CACHE_LINE);
    best = Math.min(best, now() - start);
  }
  return words.byteLength / best * 1000;
}
