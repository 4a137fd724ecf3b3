import type { SequenceView } from "../../model/backend.ts";
import { type HeadShape, type KvPages, pageRow } from "./kv-pages.ts";

/**
 * Stores the (un-rotated) keys and the values of adjacent rows of one sequence in its pages.
 *
 * @param qkv [rows, (heads + 2 kvHeads) headDim]
 * @param position of the first row; row r has position + r
 */
export function kvWrite(
  kv: KvPages,
  qkv: Float32Array,
  view: SequenceView,
  position: number,
  rows: number,
  shape: HeadShape,
): void {
  const stored = shape.kvHeads * shape.headDim;
  const queries = shape.heads * shape.headDim;
  const width = queries + 2 * stored;
  for (let r = 0; r < rows; r++) {
    const target = pageRow(view, position + r, shape.pageTokens) * stored;
    const key = r * width + queries;
    kv.keys.set(qkv.subarray(key, key + stored), target);
    kv.values.set(qkv.subarray(key + stored, key + 2 * stored), target);
  }
}
