import { limits } from "../../limits.ts";

/**
 * sums[i] = xor of the words of x[i], x[i + n], x[i + 2 n], … as groups of four, n = sums.length
 *
 * @param sums u32 [n]
 * @param x u32, a multiple of 4
 */
export function readBandwidth(sums: Uint32Array, x: Uint32Array): void {
  sums.fill(0);
  let at = 0;
  for (let i = 0; i < x.length; i += 4) {
    const word = (x[i] as number) ^ (x[i + 1] as number) ^ (x[i + 2] as number) ^
      (x[i + 3] as number);
    sums[at] = (sums[at] as number) ^ word;
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
    readBandwidth(sums, words);
    best = Math.min(best, now() - start);
  }
  return words.byteLength / best * 1000;
}
