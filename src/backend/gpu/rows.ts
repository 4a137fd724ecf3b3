/** What the kernels need to know of a batch: one record a row, and the page tables behind each other. */

import { assert, defined } from "../../assert.ts";
import type { Batch, SequenceView } from "../../model/backend.ts";
import type { Binding, Gpu } from "./context.ts";

/**
 * u32 words of a row's record; kernels read it as two vec4:
 *     n, sinks, start, ring           entries seen; the ring's entry of slot `sinks`
 *     table, page row, token, 0       where its page table begins; where its own key belongs
 */
const ROW_WORDS = 8;

/** Adjacent rows of one sequence; row r of the run has position `position` + r. */
export interface Run {
  readonly view: SequenceView;
  /** First row in the batch. */
  readonly row: number;
  readonly rows: number;
  readonly position: number;
}

export interface Rows {
  readonly count: number;
  readonly tokens: Uint32Array;
  /** [count, ROW_WORDS] */
  readonly table: Binding;
  /** Page tables of all sequences, one behind the other. */
  readonly pages: Binding;
  readonly runs: readonly Run[];
}

/** Entries that a query at `position` sees, itself included. */
export function visibleEntries(view: SequenceView, position: number): number {
  return Math.min(position, view.sinks + view.window) + 1;
}

/** Rows from the first of the run on that see everything before them: nothing is evicted for them. */
export function rowsBeforeEviction(run: Run): number {
  const full = run.view.sinks + run.view.window + 1 - run.position;
  return Math.max(0, Math.min(run.rows, full));
}

/** Owns the buffers that describe the batch at hand; each load replaces the last one's. */
export class BatchRows {
  readonly #gpu: Gpu;
  readonly #pageTokens: number;
  readonly #maxRows: number;
  readonly #table: GPUBuffer;
  #pages: GPUBuffer;

  constructor(gpu: Gpu, pageTokens: number, maxRows: number) {
    this.#gpu = gpu;
    this.#pageTokens = pageTokens;
    this.#maxRows = maxRows;
    this.#table = gpu.buffer("rows", maxRows * ROW_WORDS * 4);
    this.#pages = gpu.buffer("page tables", 4096);
  }

  /** Describes the batch to the device, for all ops recorded from now on. */
  load(batch: Batch): Rows {
    const count = batch.tokens.length;
    assert(count <= this.#maxRows, `a batch of ${count} rows, ${this.#maxRows} at most`);
    const runs = runsOf(batch);
    const words = new Uint32Array(count * ROW_WORDS);
    const tables: Uint32Array[] = [];
    let pages = 0;
    for (const run of runs) {
      const used = this.#usedPages(run);
      this.#describe(words, batch.tokens, run, pages);
      tables.push(used);
      pages += used.length;
    }
    this.#grow(pages);
    const list = new Uint32Array(pages);
    let at = 0;
    for (const table of tables) {
      list.set(table, at);
      at += table.length;
    }
    this.#gpu.upload(this.#table, 0, words);
    this.#gpu.upload(this.#pages, 0, list);
    return {
      count,
      tokens: batch.tokens,
      table: { buffer: this.#table, offset: 0, size: this.#table.size },
      pages: { buffer: this.#pages, offset: 0, size: this.#pages.size },
      runs,
    };
  }

  close(): void {
    this.#table.destroy();
    this.#pages.destroy();
  }

  /** The part of a run's page table that its entries can lie in. */
  #usedPages(run: Run): Uint32Array {
    const { view } = run;
    const last = run.position + run.rows - 1;
    const entries = Math.min(last + 1, view.sinks + view.ring);
    const pages = Math.ceil(entries / this.#pageTokens);
    assert(pages <= view.pages.length, `${entries} entries in ${view.pages.length} pages`);
    return view.pages.subarray(0, pages);
  }

  #describe(words: Uint32Array, tokens: Uint32Array, run: Run, table: number): void {
    const { sinks, ring, pages } = run.view;
    for (let r = 0; r < run.rows; r++) {
      const position = run.position + r;
      const n = visibleEntries(run.view, position);
      const entry = position < sinks ? position : sinks + (position - sinks) % ring;
      const page = pages[Math.floor(entry / this.#pageTokens)]!;
      const at = (run.row + r) * ROW_WORDS;
      words[at] = n;
      words[at + 1] = sinks;
      words[at + 2] = (position - (n - 1)) % ring;
      words[at + 3] = ring;
      words[at + 4] = table;
      words[at + 5] = page * this.#pageTokens + entry % this.#pageTokens;
      words[at + 6] = tokens[run.row + r]!;
    }
  }

  /** Bind groups that still name the old buffer are never asked for again. */
  #grow(pages: number): void {
    if (pages * 4 <= this.#pages.size) return;
    const bytes = Math.max(pages * 4, this.#pages.size * 2);
    this.#gpu.flush();
    this.#pages.destroy();
    this.#pages = this.#gpu.buffer("page tables", bytes);
  }
}

/** Splits a batch into the runs of its sequences, and asserts what backend.ts says of them. */
function runsOf(batch: Batch): readonly Run[] {
  const rows = batch.tokens.length;
  assert(batch.sequence.length === rows, "a batch needs a sequence for every row");
  assert(batch.position.length === rows, "a batch needs a position for every row");
  const runs: Run[] = [];
  for (let row = 0; row < rows;) {
    const sequence = batch.sequence[row]!;
    const position = batch.position[row]!;
    let end = row + 1;
    while (end < rows && batch.sequence[end] === sequence) {
      assert(batch.position[end] === position + end - row, "a sequence's rows are in order");
      end++;
    }
    const view = defined(batch.sequences[sequence], `sequence ${sequence} of the batch`);
    const last = position + end - row - 1;
    assert(
      last < view.sinks + view.ring || view.ring >= view.window + end - row,
      `a ring of ${view.ring} entries for a window of ${view.window} and ${end - row} rows`,
    );
    runs.push({ view, row, rows: end - row, position });
    row = end;
  }
  return runs;
}
