import type { BackendOptions, Batch, Routing, SequenceView } from "../../model/backend.ts";
import { assert, defined } from "../../assert.ts";
import { pageRow, visibleEntries } from "./kv-pages.ts";

/** Adjacent rows of a batch that belong to one sequence. */
export interface Run {
  readonly view: SequenceView;
  /** First row in the batch. */
  readonly row: number;
  /** Position of that row; the others follow. */
  readonly position: number;
  readonly rows: number;
}

/** Splits a batch into the runs of its sequences, and asserts what backend.ts says of a batch. */
export function runsOf(batch: Batch, options: BackendOptions, pageTokens: number): readonly Run[] {
  const rows = batch.tokens.length;
  assert(rows <= options.maxRows, `a batch of ${rows} rows, ${options.maxRows} at most`);
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
    const run = { view, row, position, rows: end - row };
    checkView(run, options, pageTokens);
    runs.push(run);
    row = end;
  }
  return runs;
}

function checkView(run: Run, options: BackendOptions, pageTokens: number): void {
  const { view } = run;
  const last = run.position + run.rows - 1;
  assert(
    last < view.sinks + view.ring || view.ring >= view.window + run.rows,
    `a ring of ${view.ring} entries for a window of ${view.window} and ${run.rows} rows`,
  );
  assert(visibleEntries(view, last) <= options.slots, "a query sees more slots than RoPE knows");
  const entries = Math.min(last + 1, view.sinks + view.ring);
  const pages = Math.ceil(entries / pageTokens);
  assert(pages <= view.pages.length, `${entries} entries in ${view.pages.length} pages`);
  for (let p = 0; p < pages; p++) assert(view.pages[p]! < options.pages, "a page beyond the pool");
  assert(pageRow(view, last, pageTokens) < options.pages * pageTokens, "an entry beyond the pool");
}

/** The rows that chose one expert, and with what weights. */
export interface ExpertRows {
  readonly expert: number;
  readonly rows: Uint32Array;
  readonly weights: Float32Array;
}

/**
 * A batch's routing turned round: the chosen experts in ascending order. A row whose weights are NaN,
 * because its activations are, comes last and shares with nobody: the rows beside it pass through the
 * same products as without it.
 */
export function groupByExpert(routing: Routing, rows: number): readonly ExpertRows[] {
  const k = routing.expertsPerToken;
  const chosen = new Map<number, { rows: number[]; weights: number[] }>();
  const alone: ExpertRows[] = [];
  for (let i = 0; i < rows * k; i++) {
    const expert = routing.experts[i]!, weight = routing.weights[i]!;
    const row = Math.floor(i / k);
    if (Number.isNaN(weight)) {
      alone.push({ expert, rows: Uint32Array.of(row), weights: Float32Array.of(weight) });
      continue;
    }
    const group = chosen.get(expert) ?? { rows: [], weights: [] };
    group.rows.push(row);
    group.weights.push(weight);
    chosen.set(expert, group);
  }
  const shared = [...chosen].sort(([a], [b]) => a - b).map(([expert, group]) => ({
    expert,
    rows: Uint32Array.from(group.rows),
    weights: Float32Array.from(group.weights),
  }));
  return [...shared, ...alone];
}
