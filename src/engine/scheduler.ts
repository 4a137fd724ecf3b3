/**
 * Who runs next, with how many tokens. Every step takes one token of each sequence that generates,
 * and fills up with a chunk of the prompts that wait: a long prompt stalls nobody, and nobody's short
 * answers keep a prompt waiting ("Dynamic SplitFuse", Holmes et al. 2024, section 3; iteration-level
 * scheduling: Yu et al. 2022, Orca).
 *
 * Requests begin in order of arrival (admission.ts tells the exceptions). When KV pages run out, the
 * youngest gives up its own and is computed again later.
 */

import { assert } from "../assert.ts";
import { Admission, type Entry, isPaused } from "./admission.ts";
import type { Job } from "./job.ts";
import type { PagePool } from "./page-pool.ts";
import type { StepPace } from "./step-pace.ts";

/** The first `rows` pending tokens of a job, as its part of a forward pass. */
export interface Part {
  readonly job: Job;
  readonly rows: number;
}

export type Step = readonly Part[];

export interface SchedulerOptions {
  readonly pool: PagePool;
  readonly pace: StepPace;
  /** Rows, and rows whose logits are wanted, of the largest step. */
  readonly chunkTokens: number;
  readonly logitRows: number;
  /** A request with more tokens than that has a window, and may run without end. */
  readonly contextTokens: number;
}

export class Scheduler {
  /** Both in order of arrival. */
  readonly #running: Entry[] = [];
  readonly #waiting: Entry[] = [];
  readonly #options: SchedulerOptions;
  readonly #admission: Admission;
  #arrivals = 0;
  #steps = 0;
  #preemptions = 0;
  #promptTokens = 0;
  #prefixQueries = 0;
  #prefixHits = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#admission = new Admission(options.pool, options.contextTokens);
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get preemptions(): number {
    return this.#preemptions;
  }

  /** Tokens that requests came with; one that comes back after preemption is not counted again. */
  get promptTokens(): number {
    return this.#promptTokens;
  }

  /** Tokens of requests that looked for their beginning in the prefix cache, and those found. */
  get prefix(): { readonly queries: number; readonly hits: number } {
    return { queries: this.#prefixQueries, hits: this.#prefixHits };
  }

  add(job: Job): void {
    this.#waiting.push({
      job,
      arrival: this.#arrivals++,
      preempted: false,
      passed: false,
      lacked: 0,
      step: 0,
    });
  }

  /** Whether the job has neither ended nor been removed. */
  has(job: Job): boolean {
    const isJob = (entry: Entry) => entry.job === job;
    return this.#running.some(isJob) || this.#waiting.some(isJob);
  }

  /** Ends a job, wherever it is; its pages are free at once. Returns false if it had ended before. */
  remove(job: Job): boolean {
    for (const list of [this.#running, this.#waiting]) {
      const at = list.findIndex((entry) => entry.job === job);
      if (at < 0) continue;
      list.splice(at, 1);
      job.sequence.release();
      this.#assertAccounted();
      return true;
    }
    return false;
  }

  jobs(): readonly Job[] {
    return [...this.#running, ...this.#waiting].map((entry) => entry.job);
  }

  /** The next forward pass, or undefined when there is nothing to do until a reader catches up. */
  next(): Step | undefined {
    const parts = this.#generating();
    const decoding = parts.length;
    const { chunkTokens, logitRows, pace } = this.#options;
    // Where more wait than generate, their first tokens are worth a stall to the few.
    const prompts =
      this.#running.filter((entry) => !isPaused(entry) && !isGenerating(entry)).length;
    const isBurst = prompts + this.#waiting.filter(mayBegin).length > decoding;
    let rows = chunkTokens - decoding;
    if (!isBurst) rows = Math.min(rows, pace.promptRows(decoding));
    let logits = logitRows - decoding;
    const take = ({ job }: Entry) => {
      const most = job.wants === "all" ? Math.min(rows, logits) : rows;
      const part = { job, rows: Math.min(job.sequence.pending, most) };
      return part.rows > 0 && logits > 0 ? part : undefined;
    };
    const add = (part: Part) => {
      parts.push(part);
      rows -= part.rows;
      logits -= part.job.wants === "all" ? part.rows : 1;
    };
    for (const entry of [...this.#running]) {
      if (!this.#running.includes(entry) || isPaused(entry) || isGenerating(entry)) continue;
      const part = take(entry);
      if (part && this.#makeRoom(entry, part.rows, parts)) add(part);
    }
    for (let entry = this.#admit(rows); entry; entry = this.#admit(rows)) {
      const part = take(entry);
      if (part === undefined) break;
      entry.job.sequence.reserve(entry.job.sequence.pagesFor(part.rows));
      add(part);
    }
    this.#assertAccounted();
    return parts.length > 0 ? parts : undefined;
  }

  /**
   * One row of every sequence that generates and whose reader keeps up. When readers have caught up
   * there may be more than there are rows of logits, of which prompts need one: they take turns.
   */
  #generating(): Part[] {
    const parts: Part[] = [];
    const active = this.#running.filter((entry) => !isPaused(entry));
    const places = Math.max(1, this.#options.logitRows - (active.every(isGenerating) ? 0 : 1));
    let generating = active.filter(isGenerating);
    if (generating.length > places) {
      generating = generating.toSorted((a, b) => a.step - b.step).slice(0, places);
    }
    this.#steps += 1;
    for (const entry of generating) {
      // Making room for an older one may have sent this one back.
      if (!this.#running.includes(entry)) continue;
      entry.step = this.#steps;
      if (this.#makeRoom(entry, 1, parts)) parts.push({ job: entry.job, rows: 1 });
    }
    return parts;
  }

  /**
   * Takes the pages for `rows` more tokens of a running sequence; where they are lacking, sequences give
   * theirs up: those that nobody reads, then the youngest, at last itself. Returns whether it has them.
   */
  #makeRoom(entry: Entry, rows: number, parts: Part[]): boolean {
    const { sequence } = entry.job;
    const needed = sequence.pagesFor(rows);
    while (needed > this.#options.pool.available) {
      const youngest = this.#idle() ??
        this.#running.findLast((each) => each.job.sequence.rewinds);
      assert(youngest !== undefined, "a sequence that has its pages to the end asked for more");
      this.#preempt(youngest);
      const at = parts.findIndex((part) => part.job === youngest.job);
      if (at >= 0) parts.splice(at, 1);
      if (youngest === entry) return false;
    }
    sequence.reserve(needed);
    return true;
  }

  /** The youngest that has pages, does nothing with them, and can be computed again. */
  #idle(): Entry | undefined {
    return this.#running.findLast((entry) => isPaused(entry) && entry.job.sequence.rewinds);
  }

  #preempt(entry: Entry): void {
    this.#running.splice(this.#running.indexOf(entry), 1);
    entry.job.sequence.rewind();
    entry.preempted = true;
    this.#preemptions += 1;
    const at = this.#waiting.findIndex((each) => each.arrival > entry.arrival);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
  }

  /** Moves the first waiting job that may begin to the running ones, if the step has room for it. */
  #admit(rows: number): Entry | undefined {
    if (rows <= 0 || !this.#admission.hasPlace(this.#running)) return undefined;
    let isPassing = false;
    for (const entry of this.#waiting) {
      if (isPaused(entry)) continue;
      if (isPassing && this.#admission.isLong(entry)) {
        entry.passed = true;
        continue;
      }
      if (entry.passed && this.#options.pool.available < entry.lacked) {
        isPassing = true;
        continue;
      }
      const { sequence } = entry.job;
      const tokens = sequence.pending;
      const cached = sequence.adoptPrefix();
      const { says, pages } = this.#admission.judge(entry, this.#running);
      if (says === "begin") {
        if (!sequence.rewinds) sequence.reserve(pages);
        this.#begin(entry, tokens, cached);
        return entry;
      }
      if (sequence.rewinds) sequence.rewind();
      if (says === "wait") {
        const idle = this.#idle();
        if (idle === undefined) return undefined;
        this.#preempt(idle);
        return this.#admit(rows);
      }
      isPassing = true;
      entry.passed = true;
      entry.lacked = sequence.rewinds ? pages : 0;
    }
    return undefined;
  }

  #begin(entry: Entry, tokens: number, cached: number): void {
    this.#waiting.splice(this.#waiting.indexOf(entry), 1);
    const at = this.#running.findIndex((each) => each.arrival > entry.arrival);
    this.#running.splice(at < 0 ? this.#running.length : at, 0, entry);
    if (!entry.preempted) this.#promptTokens += tokens;
    this.#prefixQueries += tokens;
    this.#prefixHits += cached;
    entry.passed = false;
    entry.job.admitted(cached);
  }

  #assertAccounted(): void {
    const { pool } = this.#options;
    pool.assertWhole();
    if (this.#running.length > 0) return;
    assert(pool.held === 0, "KV pages are held though no request runs");
  }
}

function mayBegin(entry: Entry): boolean {
  return !entry.passed && !isPaused(entry);
}

function isGenerating({ job }: Entry): boolean {
  return job.sequence.pending === 1;
}
