import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import { isSoftware, lanes, type Product, recordProduct } from "./fp8-product.ts";

/** Tokens from which a real GPU gains from tiles in workgroup memory. */
export const TILED_TOKENS = 16;

/** out[outFirst + t] = matrix x[xFirst + t], or += when `add`. */
export function matmulFp8(gpu: Gpu, product: Product): void {
  assert(!product.matrix.stacked, "a stacked matrix in a plain product");
  const tiled = !isSoftware(gpu) && product.tokens >= TILED_TOKENS;
  recordProduct(gpu, product, {
    kernel: tiled ? "matmul-fp8.tiled" : "matmul-fp8",
    constants: tiled ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: tiled ? 64 : 8,
    tokensPerGroup: tiled ? 64 : 4,
  });
}
