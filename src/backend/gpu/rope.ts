import { ArcticError } from "../../errors.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { type HeadShape, qkvWidth } from "./head-shape.ts";
import type { Rows } from "./rows.ts";

/** (cos, sin) as f32 pairs [headDim / 2, slots]. */
export interface RopeTable {
  readonly angles: Binding;
  readonly slots: number;
}

/**
 * cos and sin of slot * theta^(-2 i / headDim) as pairs [headDim / 2, slots] of f32, slots last so that
 * lanes that hold adjacent slots read adjacent words. Angles are taken in f64.
 * @throws ArcticError `device_context_too_long` when the table does not fit one binding
 */
export function ropeTable(gpu: Gpu, slots: number, headDim: number, theta: number): RopeTable {
  const half = headDim / 2;
  const bytes = half * slots * 8;
  if (bytes > gpu.bindingBytes) {
    throw new ArcticError(
      "device_context_too_long",
      `Rotary tables for ${slots} tokens take ${bytes} bytes, and this device binds ` +
        `${gpu.bindingBytes} at most. Use a context of ` +
        `${Math.floor(gpu.bindingBytes / half / 8)} tokens or fewer.`,
    );
  }
  const table = new Float32Array(half * slots * 2);
  for (let i = 0; i < half; i++) {
    const frequency = theta ** (-2 * i / headDim);
    for (let slot = 0; slot < slots; slot++) {
      const at = (i * slots + slot) * 2;
      table[at] = Math.cos(slot * frequency);
      table[at + 1] = Math.sin(slot * frequency);
    }
  }
  const buffer = gpu.buffer("rope", bytes);
  gpu.upload(buffer, 0, table);
  return { angles: whole(buffer), slots };
}

/**
 * Rotates the query heads of qkv in place, each row by its slot (RoFormer, Su et al. 2021; dimension i
 * paired with i + headDim / 2).
 *
 * @param qkv f32 [rows, (heads + 2 kvHeads) headDim]
 */
export function rope(gpu: Gpu, qkv: Binding, rows: Rows, table: RopeTable, shape: HeadShape): void {
  const { heads, headDim } = shape;
  const pipeline = gpu.pipeline("rope", {
    HEADS: heads,
    HEAD_DIM: headDim,
    QKV_WIDTH: qkvWidth(shape),
    SLOTS: table.slots,
  });
  const pairs = heads * headDim / 2;
  gpu.dispatch(
    pipeline,
    [qkv, rows.table, table.angles],
    [Math.ceil(pairs / 64), rows.count],
  );
}
