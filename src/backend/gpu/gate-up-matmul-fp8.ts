import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import { isSoftware, lanes, type Product, recordProduct } from "./fp8-product.ts";
import { TILED_TOKENS } from "./matmul-fp8.ts";

/** out[outFirst + t] = silu(gate x[xFirst + t]) * (up x[xFirst + t]), for a stacked matrix. */
export function gateUpMatmulFp8(gpu: Gpu, product: Product): void {
  assert(product.matrix.stacked, "gate and up need a stacked matrix");
  const tiled = !isSoftware(gpu) && product.tokens >= TILED_TOKENS;
  recordProduct(gpu, product, {
    kernel: tiled ? "gate-up-matmul-fp8.tiled" : "gate-up-matmul-fp8",
    constants: tiled ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: tiled ? 32 : 4,
    tokensPerGroup: tiled ? 64 : 4,
  });
}
