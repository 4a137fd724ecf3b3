import { BLOCK, decodeBlock, FEW_TOKENS, multiplyBlock } from "./dot.ts";
import type { Fp8Matrix } from "./fp8.ts";
import { gateUpMatvecFp8, silu } from "./gate-up-matvec-fp8.ts";
import { Workspace } from "./workspace.ts";

/**
 * out[r] = silu(gate x[r]) * (up x[r]); the matrix holds gate's `width` rows, then up's.
 *
 * @param out [rows, width], width = matrix.rows / 2
 * @param x [rows, matrix.cols]
 * @param from first column of out to compute, @param to the one after the last
 */
export function gateUpMatmulFp8(
  out: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
  rows: number,
  from = 0,
  to: number = matrix.rows / 2,
  workspace: Workspace = new Workspace(),
): void {
  const { cols } = matrix;
  const width = matrix.rows / 2;
  if (rows <= FEW_TOKENS) {
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * cols, (r + 1) * cols);
      gateUpMatvecFp8(out.subarray(r * width), matrix, row, from, to, workspace);
    }
    return;
  }
  const wide = workspace.widened("x", x, 0, rows * cols);
  const block = workspace.f64("block", BLOCK * cols);
  const gate = workspace.f64("gate", rows * BLOCK);
  const up = workspace.f64("up", rows * BLOCK);
  for (let row = from; row < to; row += BLOCK) {
    decodeBlock(block, matrix, row, to);
    multiplyBlock(gate, block, wide, rows, cols);
    decodeBlock(block, matrix, width + row, width + to);
    multiplyBlock(up, block, wide, rows, cols);
    const count = Math.min(BLOCK, to - row);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < count; i++) {
        const at = r * BLOCK + i;
        out[r * width + row + i] = silu(gate[at]!) * up[at]!;
      }
    }
  }
}
