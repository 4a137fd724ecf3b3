import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import {
  BROADCAST_LANES,
  broadcastsMatmul,
  isSoftware,
  isStaged,
  lanes,
  type Product,
  type ProductKernel,
  recordProduct,
} from "./fp8-product.ts";
import { TILED_TOKENS } from "./matmul-fp8.ts";
import { recordSmall } from "./product-small.ts";

export const STAGED_GATE_UP: ProductKernel = {
  kernel: "gate-up-matmul-fp8.staged",
  constants: { LANES: 64 },
  outputsPerGroup: 128,
  tokensPerGroup: 8,
};

export const BROADCAST_GATE_UP: ProductKernel = {
  kernel: "gate-up-matmul-fp8.broadcast",
  constants: {},
  outputsPerGroup: 32,
  tokensPerGroup: BROADCAST_LANES,
};

/** out[outFirst + t] = silu(gate x[xFirst + t]) * (up x[xFirst + t]), for a stacked matrix. */
export function gateUpMatmulFp8(gpu: Gpu, product: Product): void {
  assert(product.matrix.stacked, "gate and up need a stacked matrix");
  if (recordSmall(gpu, product)) return;
  recordProduct(gpu, product, choice(gpu, product));
}

function choice(gpu: Gpu, product: Product): ProductKernel {
  if (isStaged(gpu, product)) return STAGED_GATE_UP;
  return broadcastsMatmul(gpu) ? BROADCAST_GATE_UP : unstaged(gpu, product);
}

function unstaged(gpu: Gpu, { tokens }: Product): ProductKernel {
  const tiled = !isSoftware(gpu) && tokens >= TILED_TOKENS;
  return {
    kernel: tiled ? "gate-up-matmul-fp8.tiled" : "gate-up-matmul-fp8",
    constants: tiled ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: tiled ? 32 : 4,
    tokensPerGroup: tiled ? 64 : 4,
  };
}
