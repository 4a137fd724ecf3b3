import { BLOCK, dotRow, dotRows } from "./dot.ts";
import { e4m3Values, type Fp8Matrix } from "./fp8.ts";
import { Workspace } from "./workspace.ts";

/** x * sigmoid(x) */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/**
 * out = silu(gate x) * (up x); the matrix holds gate's `width` rows, then up's.
 *
 * @param out [width], width = matrix.rows / 2
 * @param x [matrix.cols]
 * @param from first element of out to compute, @param to the one after the last
 */
export function gateUpMatvecFp8(
  out: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
  from = 0,
  to: number = matrix.rows / 2,
  workspace: Workspace = new Workspace(),
): void {
  const { codes, scales, cols, stride } = matrix;
  const width = matrix.rows / 2;
  const wide = workspace.widened("x", x, 0, cols);
  const gate = workspace.f64("gate", BLOCK);
  const up = workspace.f64("up", BLOCK);
  let row = from;
  for (; row + BLOCK <= to; row += BLOCK) {
    dotRows(gate, codes, row * stride, stride, wide, cols, e4m3Values);
    dotRows(up, codes, (width + row) * stride, stride, wide, cols, e4m3Values);
    for (let i = 0; i < BLOCK; i++) {
      out[row + i] = silu(gate[i]! * scales[row + i]!) * (up[i]! * scales[width + row + i]!);
    }
  }
  for (; row < to; row++) {
    const g = dotRow(codes, row * stride, wide, cols) * scales[row]!;
    const u = dotRow(codes, (width + row) * stride, wide, cols) * scales[width + row]!;
    out[row] = silu(g) * u;
  }
}
