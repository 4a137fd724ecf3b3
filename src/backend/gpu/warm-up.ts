/**
 * A software adapter compiles a kernel when it is first dispatched, in a thread of its own. For a small
 * model that takes as long as all the rest: so it begins before the weights are read.
 */

import type { ModelConfig } from "../../../weights-manifest/config.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { type HeadShape, kvWidth, qkvWidth } from "./head-shape.ts";
import { isSmall } from "./product-small.ts";
import { isSmallRouter } from "./router.ts";

/** What a kernel binds: zeros that it reads, one of two buffers that it may write, or zero parameters. */
type Kind = "read" | "write" | "write too" | "params";

type Constants = Readonly<Record<string, number>>;

/** Dispatches each kernel that a small model needs, over nothing. Does nothing for other models. */
export function warmUp(gpu: Gpu, config: ModelConfig, shape: HeadShape, slots: number): void {
  const outputs = Math.max(qkvWidth(shape), 2 * config.intermediateSize, config.experts);
  if (!isSmall(gpu, config.hiddenSize * outputs, 1)) return;
  const bindings: Readonly<Record<Kind, Binding>> = {
    read: whole(gpu.buffer("warm-up", 256)),
    write: whole(gpu.buffer("warm-up", 256)),
    "write too": whole(gpu.buffer("warm-up", 256)),
    params: gpu.params(new Array(16).fill(0)),
  };
  for (const [kernel, constants, kinds] of smallKernels(gpu, config, shape, slots)) {
    gpu.dispatch(gpu.pipeline(kernel, constants), kinds.map((kind) => bindings[kind]), [1]);
  }
  // Not before: while the driver compiles, it makes no pipelines.
  gpu.flush();
}

/** Each with the constants that the ops give it. */
function smallKernels(
  gpu: Gpu,
  { hiddenSize, normEps, experts }: ModelConfig,
  shape: HeadShape,
  slots: number,
): (readonly [kernel: string, constants: Constants, kinds: readonly Kind[]])[] {
  const { heads, headDim } = shape;
  const rope = { HEADS: heads, HEAD_DIM: headDim, QKV_WIDTH: qkvWidth(shape), SLOTS: slots };
  const kvWrite = { QUERIES: heads * headDim, KV_WIDTH: kvWidth(shape) };
  const reads = new Array<Kind>(6).fill("read");
  return [
    ["matmul-fp8.small", {}, ["params", "read", "read", "read", "write"]],
    ["attention-decode.small", {}, [...reads, "write", "params"]],
    ["rms-norm.subgroup", { EPS: normEps }, ["read", "read", "write", "params"]],
    ["embed", { WIDTH: hiddenSize }, ["write", "read", "read", "params"]],
    ["rope", rope, ["write", "read", "read"]],
    ["kv-write", kvWrite, ["read", "read", "write", "write too"]],
    ...(experts > 0 && isSmallRouter(gpu, hiddenSize, experts, 1)
      ? [["router.small", {}, ["read", "read", "write", "params"]] as const]
      : []),
  ];
}
