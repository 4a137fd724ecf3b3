import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import { lanes, type Product, recordProduct, touches } from "./fp8-product.ts";
import { recordSmall } from "./product-small.ts";

/** out[outFirst] = matrix x[xFirst], or += when `add`: one token. */
export function matvecFp8(gpu: Gpu, product: Product): void {
  assert(product.tokens === 1 && !product.matrix.stacked, "a matvec of one token");
  if (recordSmall(gpu, product)) return;
  recordProduct(gpu, product, {
    kernel: "matvec-fp8",
    constants: { LANES: lanes(gpu), TOUCH: touches(gpu) },
    outputsPerGroup: 16,
    tokensPerGroup: 1,
  });
}
