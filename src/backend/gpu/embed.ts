import { assert } from "../../assert.ts";
import type { Binding, Gpu } from "./context.ts";
import type { Rows } from "./rows.ts";

/** Adjacent rows of the embedding table in a buffer of their own: bf16 [rows, width]. */
export interface TablePart {
  /** Row of the table that is the part's first. */
  readonly first: number;
  readonly rows: number;
  readonly codes: Binding;
}

/** Cuts a bf16 table into parts that each fit one binding. */
export function tableParts(
  rows: number,
  width: number,
  bindingBytes: number,
): { readonly first: number; readonly rows: number }[] {
  const most = Math.floor((bindingBytes - 4) / (2 * width));
  assert(most >= 1, `a row of ${width} bf16 in ${bindingBytes} bytes`);
  const parts = [];
  for (let first = 0; first < rows; first += most) {
    parts.push({ first, rows: Math.min(most, rows - first) });
  }
  return parts;
}

/** out[r] = table[token of row r]; out: f32 [rows, width]. */
export function embed(
  gpu: Gpu,
  out: Binding,
  table: readonly TablePart[],
  rows: Rows,
  width: number,
): void {
  const pipeline = gpu.pipeline("embed", { WIDTH: width });
  for (const part of table) {
    const wanted = rows.tokens.some((token) =>
      token >= part.first && token < part.first + part.rows
    );
    if (!wanted) continue;
    const params = gpu.params([part.first, part.rows]);
    gpu.dispatch(
      pipeline,
      [out, part.codes, rows.table, params],
      [Math.ceil(width / 64), rows.count],
    );
  }
}
