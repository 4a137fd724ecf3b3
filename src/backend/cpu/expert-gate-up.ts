import type { Fp8Matrix } from "./fp8.ts";
import { gateUpMatmulFp8 } from "./gate-up-matmul-fp8.ts";
import { gateUpMatvecFp8 } from "./gate-up-matvec-fp8.ts";
import { Workspace } from "./workspace.ts";

/**
 * out[i] = silu(gate x[rows[i]]) * (up x[rows[i]]) of one expert, for the rows that chose it.
 *
 * @param out [rows.length, width], width = matrix.rows / 2
 * @param matrix gate's `width` rows, then up's
 * @param x [rows of the batch, matrix.cols]
 * @param rows rows of x
 * @param from first column of out to compute, @param to the one after the last
 */
export function expertGateUp(
  out: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
  rows: Uint32Array,
  from = 0,
  to: number = matrix.rows / 2,
  workspace: Workspace = new Workspace(),
): void {
  const { cols } = matrix;
  if (rows.length === 1) {
    const row = x.subarray(rows[0]! * cols, (rows[0]! + 1) * cols);
    gateUpMatvecFp8(out, matrix, row, from, to, workspace);
    return;
  }
  const gathered = workspace.f32("gathered", rows.length * cols);
  for (const [i, r] of rows.entries()) {
    gathered.set(x.subarray(r * cols, (r + 1) * cols), i * cols);
  }
  gateUpMatmulFp8(out, matrix, gathered, rows.length, from, to, workspace);
}
