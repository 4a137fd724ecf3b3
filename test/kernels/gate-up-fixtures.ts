/** Checks silu(gate x) * (up x), whose error is bounded by those of its two factors. */

import type { Fp8Matrix } from "../../src/backend/cpu/fp8.ts";
import { matmulFp8 } from "../../src/backend/cpu/matmul-fp8.ts";
import { magnitudes, randomMatrix } from "./product-fixtures.ts";

/** A random matrix whose products are of the order of 1, where silu is curved. */
export function mildMatrix(rows: number, cols: number, seed: number): Fp8Matrix {
  const matrix = randomMatrix(rows, cols, seed);
  const down = 2 ** -Math.round(Math.log2(Math.sqrt(cols)) + 6);
  const scales = matrix.scales.map((scale) => down * 2 ** (Math.log2(scale) % 2));
  return { ...matrix, scales };
}

/**
 * First element of got [tokens, width] that differs from want by more than rounding explains: the
 * factors' errors are within 2^-18 of their sums of magnitudes, and silu's slope is below 1.1.
 */
export function gateUpDifference(
  got: Float32Array,
  want: Float32Array,
  matrix: Fp8Matrix,
  x: Float32Array,
): string | null {
  const width = matrix.rows / 2;
  const tokens = x.length / matrix.cols;
  const bound = new Float32Array(tokens * matrix.rows);
  matmulFp8(bound, magnitudes(matrix), x.map(Math.abs), tokens, false);
  const exact = new Float32Array(tokens * matrix.rows);
  matmulFp8(exact, matrix, x, tokens, false);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < width; i++) {
      const g = t * matrix.rows + i, u = g + width;
      const error = 2 ** -18 *
        (1.1 * bound[g]! * Math.abs(exact[u]!) + bound[u]! * Math.abs(exact[g]!) +
          Math.abs(exact[g]! * exact[u]!));
      const at = t * width + i;
      if (!(Math.abs(got[at]! - want[at]!) <= error + 1e-30)) {
        return `token ${t}, output ${i} is ${got[at]}, not ${want[at]} (error ${error})`;
      }
    }
  }
  return null;
}
