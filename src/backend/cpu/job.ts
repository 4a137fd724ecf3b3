import type { SequenceView } from "../../model/backend.ts";
import { attentionDecode } from "./attention-decode.ts";
import { attentionPrefill } from "./attention-prefill.ts";
import { BLOCK } from "./dot.ts";
import { expertDown } from "./expert-down.ts";
import { expertGateUp } from "./expert-gate-up.ts";
import type { Fp8Matrix } from "./fp8.ts";
import { gateUpMatmulFp8 } from "./gate-up-matmul-fp8.ts";
import { gateUpMatvecFp8 } from "./gate-up-matvec-fp8.ts";
import { type HeadShape, type KvPages, visibleEntries } from "./kv-pages.ts";
import { matmulFp8 } from "./matmul-fp8.ts";
import { matvecFp8 } from "./matvec-fp8.ts";
import type { RopeTable } from "./rope.ts";
import type { Workspace } from "./workspace.ts";

/**
 * An op that is worth sharing among threads, with its arguments; `M` is how the thread that holds
 * the job refers to a matrix. The others are in memory that threads share.
 */
export type Job<M = Fp8Matrix> =
  | { op: "linear"; out: Float32Array; matrix: M; x: Float32Array; rows: number; add: boolean }
  | { op: "gate-up"; out: Float32Array; matrix: M; x: Float32Array; rows: number }
  | { op: "expert-gate-up"; out: Float32Array; matrix: M; x: Float32Array; rows: Uint32Array }
  | {
    op: "expert-down";
    out: Float32Array;
    matrix: M;
    h: Float32Array;
    rows: Uint32Array;
    weights: Float32Array;
  }
  | AttentionJob;

export interface AttentionJob {
  readonly op: "attention";
  readonly out: Float32Array;
  readonly qkv: Float32Array;
  readonly kv: KvPages;
  readonly view: SequenceView;
  readonly position: number;
  readonly rows: number;
  readonly table: RopeTable;
  readonly shape: HeadShape;
}

/** How a job is divided: into the columns of its output, or its key heads. */
export interface Extent {
  readonly total: number;
  /** Parts are multiples of this. */
  readonly unit: number;
  /** Multiply-adds of the whole. */
  readonly work: number;
}

export function extentOf(job: Job): Extent {
  if (job.op === "attention") {
    const { shape, view, position, rows } = job;
    const entries = rows * visibleEntries(view, position + rows - 1);
    return { total: shape.kvHeads, unit: 1, work: 2 * entries * shape.heads * shape.headDim };
  }
  const { rows: outputs, cols } = job.matrix;
  const gated = job.op === "gate-up" || job.op === "expert-gate-up";
  const rows = typeof job.rows === "number" ? job.rows : job.rows.length;
  return { total: gated ? outputs / 2 : outputs, unit: BLOCK, work: rows * outputs * cols };
}

/** Computes the part [from, to) of a job, in the memory of the thread that calls. */
export function runPart(job: Job, from: number, to: number, workspace: Workspace): void {
  switch (job.op) {
    case "linear":
      if (job.rows === 1) matvecFp8(job.out, job.matrix, job.x, job.add, from, to, workspace);
      else matmulFp8(job.out, job.matrix, job.x, job.rows, job.add, from, to, workspace);
      return;
    case "gate-up":
      if (job.rows === 1) gateUpMatvecFp8(job.out, job.matrix, job.x, from, to, workspace);
      else gateUpMatmulFp8(job.out, job.matrix, job.x, job.rows, from, to, workspace);
      return;
    case "expert-gate-up":
      expertGateUp(job.out, job.matrix, job.x, job.rows, from, to, workspace);
      return;
    case "expert-down":
      expertDown(job.out, job.matrix, job.h, job.rows, job.weights, from, to, workspace);
      return;
    case "attention":
      attend(job, from, to, workspace);
  }
}

function attend(job: AttentionJob, from: number, to: number, workspace: Workspace): void {
  const { out, qkv, kv, view, position, rows, table, shape } = job;
  const where = [table, shape, from, to, workspace] as const;
  if (rows === 1) attentionDecode(out, qkv, kv, view, position, ...where);
  else attentionPrefill(out, qkv, kv, view, position, rows, ...where);
}
