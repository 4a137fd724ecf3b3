import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import { broadcasts, lanes, type Product, recordProduct } from "./fp8-product.ts";
import { recordSmall } from "./product-small.ts";

/** out[outFirst] = matrix x[xFirst], or += when `add`: one token. */
export function matvecFp8(gpu: Gpu, product: Product): void {
  assert(product.tokens === 1 && !product.matrix.stacked, "a matvec of one token");
  if (recordSmall(gpu, product)) return;
  const broadcast = broadcasts(gpu);
  recordProduct(gpu, product, {
    kernel: broadcast ? "matvec-fp8.broadcast" : "matvec-fp8",
    constants: broadcast ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: 16,
    tokensPerGroup: 1,
  });
}
