import type { SequenceView } from "../../model/backend.ts";
import { mixValues, rotateKeys, scoreSlots, softmax } from "./attend.ts";
import { type HeadShape, type KvPages, slotRow, visibleEntries } from "./kv-pages.ts";
import type { RopeTable } from "./rope.ts";
import { Workspace } from "./workspace.ts";

/** Slots whose rotated keys are held at once, a multiple of 4: all of them would not stay in the cache. */
const SLOTS = 32;

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
  workspace: Workspace = new Workspace(),
): void {
  const { kvHeads, headDim, pageTokens } = shape;
  const n = visibleEntries(view, position);
  const group = shape.heads / kvHeads;
  const rows = workspace.u32("rows", n);
  for (let j = 0; j < n; j++) rows[j] = slotRow(view, position, j, pageTokens);
  const seen = { rows, rotated: workspace.f64("rotated", SLOTS * headDim) };
  const padded = 4 * Math.ceil(n / 4);
  const scores = workspace.f64("scores", group * padded);
  for (let g = from; g < to; g++) {
    const queries = workspace.widened("queries", qkv, g * group * headDim, group * headDim);
    const ofHead = Array.from(
      { length: group },
      (_, h) => queries.subarray(h * headDim, (h + 1) * headDim),
    );
    for (let slot = 0; slot < n; slot += SLOTS) {
      const end = Math.min(slot + SLOTS, n);
      rotateKeys(seen, slot, end, kv.keys, g, kvHeads, table, slot);
      for (const [h, query] of ofHead.entries()) {
        scoreSlots(scores, h * padded + slot, query, seen.rotated, end - slot);
      }
    }
    for (let h = 0; h < group; h++) {
      softmax(scores, h * padded, n);
      const head = out.subarray((g * group + h) * headDim, (g * group + h + 1) * headDim);
      mixValues(head, scores, h * padded, rows, n, kv.values, g, kvHeads, workspace);
    }
  }
}
