/** out[r] = softmax(q k^T / sqrt(headDim)) v over the entries that row r sees. */

import { AttentionDecode, type AttentionInput } from "./attention-decode.ts";
import { attentionPrefill } from "./attention-prefill.ts";
import { attentionSmall } from "./attention-small.ts";
import type { Gpu } from "./context.ts";
import { checkHeadShape, type HeadShape } from "./head-shape.ts";
import { rowsBeforeEviction, visibleEntries } from "./rows.ts";

/** Rows of one sequence from which sharing keys among them is worth a dispatch of their own. */
const PREFILL_ROWS = 2;

export class Attention {
  readonly #gpu: Gpu;
  readonly #shape: HeadShape;
  readonly #decode: AttentionDecode;

  /** @throws ArcticError `device_head_dim` */
  constructor(gpu: Gpu, shape: HeadShape) {
    checkHeadShape(shape);
    this.#gpu = gpu;
    this.#shape = shape;
    this.#decode = new AttentionDecode(gpu, shape);
  }

  /**
   * Attention for every row of the batch: rows of one sequence that see all before them together,
   * all others one by one.
   */
  record(input: AttentionInput): void {
    if (attentionSmall(this.#gpu, input, this.#shape)) return;
    let first = 0; // of the rows that wait for attention-decode
    let entries = 0;
    for (const run of input.rows.runs) {
      const together = rowsBeforeEviction(run);
      if (together >= PREFILL_ROWS) {
        this.#record(input, first, run.row, entries);
        attentionPrefill(this.#gpu, input, this.#shape, run.row, together);
        first = run.row + together;
        entries = 0;
      }
      if (first < run.row + run.rows) {
        entries = Math.max(entries, visibleEntries(run.view, run.position + run.rows - 1));
      }
    }
    this.#record(input, first, input.rows.count, entries);
  }

  #record(input: AttentionInput, first: number, end: number, entries: number): void {
    if (end > first) this.#decode.record(input, first, end - first, entries);
  }
}
