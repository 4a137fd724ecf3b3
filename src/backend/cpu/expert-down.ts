import { BLOCK, decodeBlock, FEW_TOKENS, multiplyBlock } from "./dot.ts";
import type { Fp8Matrix } from "./fp8.ts";
import { matvecFp8 } from "./matvec-fp8.ts";
import { Workspace } from "./workspace.ts";

/**
 * out[rows[i]] += weights[i] * (matrix h[i]) of one expert, for the rows that chose it.
 *
 * @param out [rows of the batch, matrix.rows]
 * @param h [rows.length, matrix.cols], from expert-gate-up
 * @param rows rows of out
 * @param weights the router's, one for each of `rows`
 * @param from first column of out to compute, @param to the one after the last
 */
export function expertDown(
  out: Float32Array,
  matrix: Fp8Matrix,
  h: Float32Array,
  rows: Uint32Array,
  weights: Float32Array,
  from = 0,
  to: number = matrix.rows,
  workspace: Workspace = new Workspace(),
): void {
  const { cols } = matrix;
  const count = rows.length;
  if (count <= FEW_TOKENS) {
    const product = workspace.f32("product", matrix.rows);
    for (let i = 0; i < count; i++) {
      const row = h.subarray(i * cols, (i + 1) * cols);
      matvecFp8(product, matrix, row, false, from, to, workspace);
      const target = rows[i]! * matrix.rows;
      for (let j = from; j < to; j++) {
        out[target + j] = out[target + j]! + weights[i]! * product[j]!;
      }
    }
    return;
  }
  const wide = workspace.widened("x", h, 0, count * cols);
  const block = workspace.f64("block", BLOCK * cols);
  const products = workspace.f64("products", count * BLOCK);
  for (let row = from; row < to; row += BLOCK) {
    decodeBlock(block, matrix, row, to);
    multiplyBlock(products, block, wide, count, cols);
    const last = Math.min(BLOCK, to - row);
    for (let i = 0; i < count; i++) {
      const target = rows[i]! * matrix.rows + row;
      for (let j = 0; j < last; j++) {
        out[target + j] = out[target + j]! + weights[i]! * products[i * BLOCK + j]!;
      }
    }
  }
}
