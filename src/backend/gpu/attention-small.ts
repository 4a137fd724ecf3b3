import type { AttentionInput } from "./attention-decode.ts";
import type { Gpu } from "./context.ts";
import { type HeadShape, qkvWidth } from "./head-shape.ts";
import { isSmall } from "./product-small.ts";
import { visibleEntries } from "./rows.ts";

/** Entries that a row sees at most (attention-decode.small.wgsl). */
const SMALL_ENTRIES = 256;

/** Multiplications of a batch's scores up to which sharing keys among rows is not worth compiling for. */
const SMALL_SCORES = 2 ** 21;

/** Records the attention of all rows if the model is small and that is little work. */
export function attentionSmall(gpu: Gpu, input: AttentionInput, shape: HeadShape): boolean {
  const { out, qkv, kv, rows, table } = input;
  const { heads, kvHeads, headDim, pageTokens } = shape;
  if (!isSmall(gpu, heads * headDim * qkvWidth(shape), 1)) return false;
  let seen = 0;
  for (const { view, position, rows: count } of rows.runs) {
    const most = visibleEntries(view, position + count - 1);
    if (most > SMALL_ENTRIES) return false;
    seen += count * most;
  }
  if (seen * heads * headDim > SMALL_SCORES) return false;
  const params = gpu.params([0, heads, kvHeads, headDim, pageTokens, table.slots]);
  gpu.dispatch(
    gpu.pipeline("attention-decode.small"),
    [qkv, kv.keys, kv.values, rows.table, rows.pages, table.angles, out, params],
    [heads, rows.count],
  );
  return true;
}
