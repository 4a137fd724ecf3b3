import { assert, defined } from "../../assert.ts";
import type { Binding, Gpu } from "./context.ts";
import { isSoftware } from "./fp8-product.ts";

/**
 * out[i][r] = x[r] / sqrt(mean(x[r]^2) + eps) * weights[i], for one or two weights in one dispatch
 * (Zhang and Sennrich 2019).
 *
 * @param out f32 [rows, width] each, none in x's buffer or in the other's
 * @param x f32 [rows, width]
 * @param weights f32 [width] each
 */
export function rmsNorm(
  gpu: Gpu,
  out: readonly Binding[],
  x: Binding,
  weights: readonly Binding[],
  rows: number,
  width: number,
  eps: number,
): void {
  assert(out.length === weights.length && out.length >= 1 && out.length <= 2, "one or two weights");
  if (isSoftware(gpu)) {
    const pipeline = gpu.pipeline("rms-norm.subgroup", { EPS: eps });
    for (const [i, weight] of weights.entries()) {
      const bindings = [x, weight, defined(out[i], "an output"), gpu.params([width])];
      gpu.dispatch(pipeline, bindings, [rows]);
    }
    return;
  }
  const wide = gpu.subgroupSize > 8 && width >= 2048;
  const threads = wide ? { THREADS: 256, PARTS: 16 } : { THREADS: 64, PARTS: 8 };
  const constants = { WIDTH: width, EPS: eps, ...threads };
  const [weight, second] = weights;
  const bindings = second === undefined
    ? [x, defined(weight, "a weight"), ...out]
    : [x, defined(weight, "a weight"), second, ...out];
  const kernel = second === undefined ? "rms-norm" : "rms-norm.pair";
  gpu.dispatch(gpu.pipeline(kernel, constants), bindings, [rows]);
}
