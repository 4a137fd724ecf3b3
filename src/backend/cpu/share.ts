/**
 * How threads share a job: each claims the next part until none is left, so that a thread that the
 * system does not run holds nobody up.
 */

import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import type { Fp8Matrix } from "./fp8.ts";
import { type Job, runPart } from "./job.ts";
import type { Workspace } from "./workspace.ts";

/** A matrix by where it lies in the process; threads share its addresses. */
export interface MatrixAddress {
  readonly codes: Pointer;
  readonly codeBytes: number;
  readonly scales: Pointer;
  readonly rows: number;
  readonly cols: number;
  readonly stride: number;
}

/** How a job is divided, and how far it is. */
export interface Division {
  readonly state: Int32Array;
  readonly total: number;
  readonly part: number;
}

/** What a thread is sent. */
export interface SharedJob extends Division {
  readonly job: Job<MatrixAddress>;
}

/** Indices into the state of a shared job. */
const NEXT = 0;
const DONE = 1;
const FAILED = 2;

/** The state of a job that nobody has begun. A late thread finds its own job's, not the next one's. */
export function newState(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(12));
}

export function addressed(job: Job): Job<MatrixAddress> {
  if (job.op === "attention") return job;
  const { codes, scales, rows, cols, stride } = job.matrix;
  const address = { codes: ptr(codes), codeBytes: codes.length, scales: ptr(scales) };
  return { ...job, matrix: { ...address, rows, cols, stride } };
}

/** The job as this thread sees it. Only while the thread that made it waits. */
function resolved(job: Job<MatrixAddress>): Job {
  if (job.op === "attention") return job;
  const { codes, codeBytes, scales, rows, cols, stride } = job.matrix;
  const matrix: Fp8Matrix = {
    codes: new Uint8Array(toArrayBuffer(codes, 0, codeBytes)),
    scales: new Float32Array(toArrayBuffer(scales, 0, rows * 4)),
    rows,
    cols,
    stride,
  };
  return { ...job, matrix };
}

/**
 * Claims and computes parts until none is left, also after a part has failed: others wait for all.
 * @throws the first error of a part
 */
export function takeParts(shared: Division, workspace: Workspace, open: () => Job): void {
  const { state, total, part } = shared;
  const errors: unknown[] = [];
  let job: Job | undefined;
  for (;;) {
    const from = Atomics.add(state, NEXT, part);
    if (from >= total) break;
    const to = Math.min(from + part, total);
    try {
      job ??= open();
      runPart(job, from, to, workspace);
    } catch (error) {
      errors.push(error);
      Atomics.store(state, FAILED, 1);
    }
    const done = Atomics.add(state, DONE, to - from) + to - from;
    if (done === total) Atomics.notify(state, DONE);
  }
  if (errors.length > 0) throw errors[0];
}

/** What a thread does with a message. */
export function answer(shared: SharedJob, workspace: Workspace): void {
  takeParts(shared, workspace, () => resolved(shared.job));
}

/** Waits for the parts that others have claimed. */
export function waitForOthers({ state, total }: Division): void {
  for (let done = Atomics.load(state, DONE); done < total; done = Atomics.load(state, DONE)) {
    Atomics.wait(state, DONE, done);
  }
}

export function hasFailed({ state }: Division): boolean {
  return Atomics.load(state, FAILED) !== 0;
}
