import type { SequenceView } from "../../model/backend.ts";
import { attendHead, rotateKeys } from "./attend.ts";
import { type HeadShape, type KvPages, slotRow, visibleEntries } from "./kv-pages.ts";
import type { RopeTable } from "./rope.ts";

/**
 * out = softmax(q k^T / sqrt(headDim)) v of one query over the entries that it sees. Query head h
 * reads key and value head floor(h kvHeads / heads). The query is rotated already; the key in slot j
 * is rotated by j here (StreamingLLM, Xiao et al. 2023, section 3.2).
 *
 * @param out [heads, headDim]
 * @param qkv the query's row, [(heads + 2 kvHeads) headDim]; its own key and value are in the pages
 * @param from first key head to compute, @param to the one after the last
 */
export function attentionDecode(
  out: Float32Array,
  qkv: Float32Array,
  kv: KvPages,
  view: SequenceView,
  position: number,
  table: RopeTable,
  shape: HeadShape,
  from = 0,
  to: number = shape.kvHeads,
): void {
  const { kvHeads, headDim, pageTokens } = shape;
  const n = visibleEntries(view, position);
  const group = shape.heads / kvHeads;
  const rows = new Uint32Array(n);
  for (let j = 0; j < n; j++) rows[j] = slotRow(view, position, j, pageTokens);
  const seen = { rows, rotated: new Float64Array(n * headDim) };
  const scores = new Float64Array(4 * Math.ceil(n / 4));
  for (let g = from; g < to; g++) {
    rotateKeys(seen, 0, n, kv.keys, g, kvHeads, table);
    for (let h = g * group; h < (g + 1) * group; h++) {
      const query = new Float64Array(qkv.subarray(h * headDim, (h + 1) * headDim));
      const head = out.subarray(h * headDim, (h + 1) * headDim);
      attendHead(head, query, seen, n, kv.values, g, kvHeads, scores);
    }
  }
}
