/** Rows of weights to E4M3 codes and a scale each, with the tables that make it fast. */

import { bf16CodeTable, type CodeTable, encodeE4m3 } from "./fp8.ts";
import { RowScale } from "./row-scale.ts";

export class RowEncoder {
  readonly #scale = new RowScale();
  /** By scale: a model has few. */
  readonly #tables = new Map<number, CodeTable>();

  /**
   * Encodes one bf16 row into out[at .. at + row.length).
   * @returns the row's scale; NaN, with nothing written, when the row holds NaN or an infinity
   */
  bf16(row: Uint16Array, out: Uint8Array, at: number): number {
    let top = 0;
    for (let i = 0; i < row.length; i++) {
      const magnitude = (row[i] as number) & 0x7fff;
      if (magnitude > top) top = magnitude;
    }
    if (top >= 0x7f80) return NaN;
    const scale = this.#scale.bf16(row, top);
    const table = this.#table(scale);
    for (let i = 0; i < row.length; i++) out[at + i] = table[row[i] as number] as number;
    return scale;
  }

  /** The same for an f32 row. */
  f32(row: Float32Array, out: Uint8Array, at: number): number {
    const bits = new Uint32Array(row.buffer, row.byteOffset, row.length);
    let top = 0;
    for (let i = 0; i < bits.length; i++) {
      const magnitude = (bits[i] as number) & 0x7fffffff;
      if (magnitude > top) top = magnitude;
    }
    if (top >= 0x7f800000) return NaN;
    const scale = this.#scale.f32(bits, top);
    for (let i = 0; i < row.length; i++) out[at + i] = encodeE4m3((row[i] as number) / scale);
    return scale;
  }

  #table(scale: number): CodeTable {
    const known = this.#tables.get(scale);
    if (known !== undefined) return known;
    const table = bf16CodeTable(scale);
    this.#tables.set(scale, table);
    return table;
  }
}
