import { assert } from "../../assert.ts";
import type { Gpu } from "./context.ts";
import { broadcasts, lanes, type Product, recordProduct } from "./fp8-product.ts";
import { recordSmall } from "./product-small.ts";

/** out[outFirst] = silu(gate x[xFirst]) * (up x[xFirst]): one token, a stacked matrix. */
export function gateUpMatvecFp8(gpu: Gpu, product: Product): void {
  assert(product.tokens === 1 && product.matrix.stacked, "a stacked matrix and one token");
  if (recordSmall(gpu, product)) return;
  const broadcast = broadcasts(gpu);
  recordProduct(gpu, product, {
    kernel: broadcast ? "gate-up-matvec-fp8.broadcast" : "gate-up-matvec-fp8",
    constants: broadcast ? {} : { LANES: lanes(gpu) },
    outputsPerGroup: 8,
    tokensPerGroup: 1,
  });
}
