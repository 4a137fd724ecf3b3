/** From a step to the rows of a forward pass. */

import type { Batch } from "../model/backend.ts";
import type { Step } from "./scheduler.ts";

export interface StepBatch {
  readonly batch: Batch;
  /** For each part of the step, the position of each of its rows whose logits are wanted. */
  readonly wanted: readonly (readonly number[])[];
}

/** One sequence after the other, each with its rows in order of position. */
export function stepBatch(step: Step): StepBatch {
  const count = step.reduce((sum, { rows }) => sum + rows, 0);
  const tokens = new Uint32Array(count);
  const sequence = new Uint32Array(count);
  const position = new Float64Array(count);
  const logitRows: number[] = [];
  const wanted: number[][] = [];
  let at = 0;
  for (const [s, { job, rows }] of step.entries()) {
    const first = job.sequence.stored;
    tokens.set(job.sequence.next(rows), at);
    sequence.fill(s, at, at + rows);
    // The last row of a prompt is all that sampling needs; before it there is nothing to sample.
    const from = job.wants === "all" ? 0 : rows === job.sequence.pending ? rows - 1 : rows;
    wanted.push([]);
    for (let r = 0; r < rows; r++) {
      position[at + r] = first + r;
      if (r < from) continue;
      logitRows.push(at + r);
      wanted.at(-1)?.push(first + r);
    }
    at += rows;
  }
  const batch = {
    tokens,
    sequence,
    position,
    sequences: step.map(({ job }) => job.sequence.view()),
    logitRows: Uint32Array.from(logitRows),
  };
  return { batch, wanted };
}
