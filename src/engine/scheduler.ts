/**
 * Who runs next, with how many tokens. One job runs at a time, in order of arrival; a prompt longer
 * than a chunk is read in chunks.
 */

import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import type { Job } from "./job.ts";
import type { PagePool } from "./page-pool.ts";

/** The next forward pass: the first `rows` pending tokens of a job. */
export interface Step {
  readonly job: Job;
  readonly rows: number;
}

export class Scheduler {
  readonly #jobs: Job[] = [];
  readonly #pool: PagePool;
  readonly #chunkTokens: number;
  readonly #logitRows: number;

  constructor(pool: PagePool, chunkTokens: number, logitRows: number) {
    this.#pool = pool;
    this.#chunkTokens = chunkTokens;
    this.#logitRows = logitRows;
  }

  add(job: Job): void {
    this.#jobs.push(job);
  }

  /** Ends a job, wherever it is; its pages are free at once. Returns false if it had ended before. */
  remove(job: Job): boolean {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return false;
    this.#jobs.splice(at, 1);
    job.sequence.release();
    if (this.#jobs.length === 0) {
      assert(this.#pool.free === this.#pool.total, "KV pages are held though no request runs");
    }
    return true;
  }

  jobs(): readonly Job[] {
    return [...this.#jobs];
  }

  /** The next forward pass, or undefined when there is nothing to do until a reader catches up. */
  next(): Step | undefined {
    const job = this.#jobs[0];
    if (!job || job.events.waiting >= limits.eventsWaiting) return undefined;
    const most = job.wants === "all" ? this.#logitRows : this.#chunkTokens;
    const rows = Math.min(job.sequence.pending, most);
    assert(rows > 0, "a job without pending tokens was scheduled");
    job.sequence.reserve(rows);
    return { job, rows };
  }
}
