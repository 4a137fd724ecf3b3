import { BLOCK, dotRow, dotRows } from "./dot.ts";
import { e4m3Values, type Fp8Matrix } from "./fp8.ts";
import { Workspace } from "./workspace.ts";

/**
 * out = matrix x, or out += matrix x when `add`.
 *
 * @param out [matrix.rows]
 * @param x [matrix.cols]
 * @param from first row of the matrix to compute, @param to the one after the last
 */
export function matvecFp8(
  out: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
  add: boolean,
  from = 0,
  to: number = matrix.rows,
  workspace: Workspace = new Workspace(),
): void {
  const { codes, scales, cols, stride } = matrix;
  const wide = workspace.widened("x", x, 0, cols);
  const sums = workspace.f64("sums", BLOCK);
  let row = from;
  for (; row + BLOCK <= to; row += BLOCK) {
    dotRows(sums, codes, row * stride, stride, wide, cols, e4m3Values);
    for (let i = 0; i < BLOCK; i++) {
      out[row + i] = sums[i]! * scales[row + i]! + (add ? out[row + i]! : 0);
    }
  }
  for (; row < to; row++) {
    out[row] = dotRow(codes, row * stride, wide, cols) * scales[row]! + (add ? out[row]! : 0);
  }
}
