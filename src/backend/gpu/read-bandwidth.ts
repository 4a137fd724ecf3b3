import { assert } from "../../assert.ts";
import { limits } from "../../limits.ts";
import { type Binding, type Gpu, whole } from "./context.ts";

const WORKGROUP = 64;
/** Enough invocations to fill a large GPU. */
const INVOCATIONS = 64 * 1024;

/**
 * sums[i] = xor of the words of x[i], x[i + n], x[i + 2 n], … as vec4<u32>, n = invocations
 *
 * @param sums u32 [n], n a multiple of 64
 * @param x whole vec4<u32>
 */
export function readBandwidth(gpu: Gpu, sums: Binding, x: Binding): void {
  const groups = sums.size / 4 / WORKGROUP;
  assert(Number.isInteger(groups) && x.size % 16 === 0, "sums or words that do not divide");
  gpu.dispatch(gpu.pipeline("read-bandwidth", { COUNT: x.size / 16 }), [x, sums], [groups]);
}

/** Bytes a second at which the device reads a buffer as large as one binding; the best of several. */
export async function measureReadBandwidth(gpu: Gpu, now: () => number): Promise<number> {
  const words = gpu.buffer("bandwidth", gpu.bindingBytes);
  const sums = gpu.buffer("bandwidth sums", 4 * INVOCATIONS);
  let best = Infinity;
  for (let run = 0; run < limits.bandwidthRuns; run++) {
    await gpu.finished();
    const start = now();
    readBandwidth(gpu, whole(sums), whole(words));
    await gpu.finished();
    best = Math.min(best, now() - start);
  }
  const bytes = words.size;
  words.destroy();
  sums.destroy();
  return bytes / best * 1000;
}
