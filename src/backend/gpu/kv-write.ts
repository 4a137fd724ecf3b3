import { ArcticError } from "../../errors.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { type HeadShape, kvWidth } from "./head-shape.ts";
import type { Rows } from "./rows.ts";

/** The un-rotated keys and the values of one layer, each f32 [pages * pageTokens, kvHeads headDim]. */
export interface KvBuffers {
  readonly keys: Binding;
  readonly values: Binding;
}

/** @throws ArcticError `device_kv_too_large` when the keys of a layer do not fit one binding */
export function kvBuffers(gpu: Gpu, label: string, pages: number, shape: HeadShape): KvBuffers {
  const pageBytes = shape.pageTokens * kvWidth(shape) * 4;
  if (pages * pageBytes > gpu.bindingBytes) {
    throw new ArcticError(
      "device_kv_too_large",
      `The keys of ${pages * shape.pageTokens} tokens take ${
        pages * pageBytes
      } bytes a layer, and ` +
        `this device binds ${gpu.bindingBytes} at most. Use a context of ` +
        `${Math.floor(gpu.bindingBytes / pageBytes) * shape.pageTokens} tokens or fewer over all ` +
        "sequences.",
    );
  }
  return {
    keys: whole(gpu.buffer(`${label} keys`, pages * pageBytes)),
    values: whole(gpu.buffer(`${label} values`, pages * pageBytes)),
  };
}

/**
 * Stores the (un-rotated) keys and the values of qkv in the page rows that the batch's rows own.
 *
 * @param qkv f32 [rows, (heads + 2 kvHeads) headDim]
 */
export function kvWrite(
  gpu: Gpu,
  kv: KvBuffers,
  qkv: Binding,
  rows: Rows,
  shape: HeadShape,
): void {
  const stored = kvWidth(shape);
  const pipeline = gpu.pipeline("kv-write", {
    QUERIES: shape.heads * shape.headDim,
    KV_WIDTH: stored,
  });
  gpu.dispatch(
    pipeline,
    [qkv, rows.table, kv.keys, kv.values],
    [Math.ceil(stored / 64), rows.count],
  );
}
