import { BLOCK, decodeBlock, FEW_TOKENS, multiplyBlock } from "./dot.ts";
import type { Fp8Matrix } from "./fp8.ts";
import { matvecFp8 } from "./matvec-fp8.ts";
import { Workspace } from "./workspace.ts";

/**
 * out[r] = matrix x[r], or out[r] += matrix x[r] when `add`. Each weight is decoded once, unless there are few tokens.
 *
 * @param out [rows, matrix.rows]
 * @param x [rows, matrix.cols]
 * @param from first row of the matrix to compute, @param to the one after the last
 */
export function matmulFp8(
  out: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
  rows: number,
  add: boolean,
  from = 0,
  to: number = matrix.rows,
  workspace: Workspace = new Workspace(),
): void {
  const { cols } = matrix;
  if (rows <= FEW_TOKENS) {
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * cols, (r + 1) * cols);
      matvecFp8(out.subarray(r * matrix.rows), matrix, row, add, from, to, workspace);
    }
    return;
  }
  const wide = workspace.widened("x", x, 0, rows * cols);
  const block = workspace.f64("block", BLOCK * cols);
  const products = workspace.f64("products", rows * BLOCK);
  for (let row = from; row < to; row += BLOCK) {
    decodeBlock(block, matrix, row, to);
    multiplyBlock(products, block, wide, rows, cols);
    const count = Math.min(BLOCK, to - row);
    for (let r = 0; r < rows; r++) {
      const target = r * matrix.rows + row;
      for (let i = 0; i < count; i++) {
        out[target + i] = products[r * BLOCK + i]! + (add ? out[target + i]! : 0);
      }
    }
  }
}
