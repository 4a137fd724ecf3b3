import { assert } from "../../assert.ts";
import { limits } from "../../limits.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { isSoftware } from "./fp8-product.ts";

const WORKGROUP = 64;
/** Words of a cache line of the CPU that a software adapter computes on. */
const CACHE_LINE = 16;
/** Enough invocations to fill a large GPU. */
const INVOCATIONS = 64 * 1024;

/**
 * sums[i] = xor of x[i s], x[(i + n) s], x[(i + 2 n) s], … with s = stride, n = the length of sums
 *
 * @param sums u32 [n], n a multiple of 64
 * @param x u32, a multiple of s
 */
export function readBandwidth(gpu: Gpu, sums: Binding, x: Binding, stride: number): void {
  const groups = sums.size / 4 / WORKGROUP;
  const count = x.size / 4 / stride;
  assert(Number.isInteger(groups) && Number.isInteger(count), "sums or words that do not divide");
  const constants = { COUNT: count, STRIDE: stride };
  gpu.dispatch(gpu.pipeline("read-bandwidth", constants), [x, sums], [groups]);
}

/** Bytes a second at which the device reads a buffer as large as one binding; the best of several. */
export async function measureReadBandwidth(gpu: Gpu, now: () => number): Promise<number> {
  const words = gpu.buffer("bandwidth", gpu.bindingBytes);
  const sums = gpu.buffer("bandwidth sums", 4 * INVOCATIONS);
  let best = Infinity;
  for (let run = 0; run < limits.bandwidthRuns; run++) {
    await gpu.finished();
    const start = now();
    readBandwidth(gpu, whole(sums), whole(words), isSoftware(gpu) ? CACHE_LINE : 1);
    await gpu.finished();
    best = Math.min(best, now() - start);
  }
  const bytes = words.size;
  words.destroy();
  sums.destroy();
  return bytes / best * 1000;
}
