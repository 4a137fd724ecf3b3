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
import { recordSmall } from "./product-small.ts";

/** Tokens from which a real GPU gains from tiles in workgroup memory. */
export const TILED_TOKENS = 16;

export const STAGED_MATMUL: ProductKernel = {
  kernel: "matmul-fp8.staged",
  constants: { LANES: 64 },
  outputsPerGroup: 256,
  tokensPerGroup: 8,
};

export const BROADCAST_MATMUL: ProductKernel = {
  kernel: "matmul-fp8.broadcast",
  constants: {},
  outputsPerGroup: 64,
  tokensPerGroup: BROADCAST_LANES,
};

/** out[outFirst + t] = matrix x[xFirst + t], or += when `add`. */
export function matmulFp8(gpu: Gpu, product: Product): void {
  assert(!product.matrix.stacked, "a stacked matrix in a plain product");
  if (recordSmall(gpu, product)) return;
  recordProduct(gpu, product, choice(gpu, product));
}

function choice(gpu: Gpu, product: Product): ProductKernel {
  if (isStaged(gpu, product)) return STAGED_MATMUL;
  return broadcastsMatmul(gpu) ? BROADCAST_MATMUL : unstaged(gpu, product);
}

function unstaged(gpu: Gpu, { tokens }: Product): ProductKernel {
  const tiled = !isSoftware(gpu) && tokens >= TILED_TOKENS;
  return {
    kernel: tiled ? "matmul-fp8.tiled" : "matmul-fp8",
    constants: tiled ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: tiled ? 64 : 8,
    tokensPerGroup: tiled ? 64 : 4,
  };
}
