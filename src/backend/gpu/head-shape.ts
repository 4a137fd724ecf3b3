/** How attention's rows are cut, and what that means for the kernels that share the cut. */

import { assert } from "../../assert.ts";
import { ArcticError } from "../../errors.ts";
import { limits } from "../../limits.ts";

/** A row of qkv is [heads queries, kvHeads keys, kvHeads values] of headDim. */
export interface HeadShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly pageTokens: number;
}

/** Width of a row of qkv. */
export function qkvWidth(shape: HeadShape): number {
  return (shape.heads + 2 * shape.kvHeads) * shape.headDim;
}

/** Width of a row of stored keys, or of stored values. */
export function kvWidth(shape: HeadShape): number {
  return shape.kvHeads * shape.headDim;
}

/** @throws ArcticError `device_head_dim` when a head is wider than a workgroup */
export function checkHeadShape(shape: HeadShape): void {
  const { heads, kvHeads, headDim, pageTokens } = shape;
  assert(headDim > 0 && headDim % 2 === 0, `a head of ${headDim} dimensions`);
  assert(kvHeads > 0 && heads % kvHeads === 0, `${heads} heads for ${kvHeads} key heads`);
  assert(pageTokens > 0, "pages without tokens");
  if (headDim > limits.gpuHeadDim) {
    throw new ArcticError(
      "device_head_dim",
      `The model's attention heads have ${headDim} dimensions, and the GPU kernels take ` +
        `${limits.gpuHeadDim} at most. Use --backend cpu.`,
    );
  }
}
