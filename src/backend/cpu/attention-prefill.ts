import type { SequenceView } from "../../model/backend.ts";
import { attendHead, rotateKeys } from "./attend.ts";
import { type HeadShape, type KvPages, slotRow, visibleEntries } from "./kv-pages.ts";
import type { RopeTable } from "./rope.ts";
import { Workspace } from "./workspace.ts";

/**
 * attention-decode for adjacent rows of one sequence; each row sees what its own position sees. A
 * rotated key serves all rows that have it in the same slot: until the window is full, all of them.
 *
 * @param out [rows, heads headDim]
 * @param qkv [rows, (heads + 2 kvHeads) headDim]; the keys and values of all rows are in the pages
 * @param position of the first row; row r has position + r
 * @param from first key head to compute, @param to the one after the last
 */
export function attentionPrefill(
  out: Float32Array,
  qkv: Float32Array,
  kv: KvPages,
  view: SequenceView,
  position: number,
  rows: number,
  table: RopeTable,
  shape: HeadShape,
  from = 0,
  to: number = shape.kvHeads,
  workspace: Workspace = new Workspace(),
): void {
  const { heads, kvHeads, headDim, pageTokens } = shape;
  const width = (heads + 2 * kvHeads) * headDim;
  const group = heads / kvHeads;
  const most = visibleEntries(view, position + rows - 1);
  const seen = {
    rows: workspace.u32("rows", most),
    rotated: workspace.f64("rotated", most * headDim),
  };
  for (let g = from; g < to; g++) {
    // Slots below `known` hold the rotated keys of a query that has seen `evicted` entries go.
    let known = 0, evicted = 0;
    for (let r = 0; r < rows; r++) {
      const t = position + r;
      const n = visibleEntries(view, t);
      if (evicted !== t + 1 - n) known = Math.min(known, view.sinks);
      evicted = t + 1 - n;
      for (let j = known; j < n; j++) seen.rows[j] = slotRow(view, t, j, pageTokens);
      rotateKeys(seen, known, n, kv.keys, g, kvHeads, table);
      known = n;
      for (let h = g * group; h < (g + 1) * group; h++) {
        const start = r * width + h * headDim;
        const query = workspace.widened("queries", qkv, start, headDim).subarray(0, headDim);
        const target = (r * heads + h) * headDim;
        const head = out.subarray(target, target + headDim);
        attendHead(head, query, seen, n, kv.values, g, kvHeads, workspace);
      }
    }
  }
}
