/**
 * Whether a request that waits may begin. They begin in order of arrival, as long as pages and places
 * last. Those that run past the context may never end, so they leave room for the others: pages for
 * one whole context, and some places. Whoever waits for one of them to end is passed by requests that
 * will end.
 */

import { limits } from "../limits.ts";
import type { Job } from "./job.ts";
import type { PagePool } from "./page-pool.ts";

/** A job and its place in the order of arrival. */
export interface Entry {
  readonly job: Job;
  readonly arrival: number;
  /** It had to give its pages up: it comes back once it can keep them to its end. */
  preempted: boolean;
  /** It waits for one that may never end; others have passed it. */
  passed: boolean;
  /** Pages that it lacked then: with fewer it need not be looked at again. */
  lacked: number;
  /** The last step in which it generated. */
  step: number;
}

/** `pages` it needs to begin. Where it cannot, all that came later wait as well, or may pass. */
export interface Verdict {
  readonly pages: number;
  readonly says: "begin" | "wait" | "pass";
}

export class Admission {
  readonly #pool: PagePool;
  readonly #contextTokens: number;

  constructor(pool: PagePool, contextTokens: number) {
    this.#pool = pool;
    this.#contextTokens = contextTokens;
  }

  /** Whether it may run without end, or nearly so. */
  isLong({ job }: Entry): boolean {
    return job.sequence.extent > this.#contextTokens;
  }

  hasPlace(running: readonly Entry[]): boolean {
    return active(running) < limits.runningRequests;
  }

  /** @param entry has taken over what the cache has of its beginning */
  judge(entry: Entry, running: readonly Entry[]): Verdict {
    const { sequence } = entry.job;
    // One that cannot be computed again takes all its pages at once.
    const whole = entry.preempted || !sequence.rewinds;
    const needed = whole ? sequence.pagesToTheEnd() : sequence.pagesFor(sequence.pending + 1);
    const { available, held, total } = this.#pool;
    const long = running.filter((each) => this.isLong(each));
    const heldByLong = long.reduce((sum, { job }) => sum + job.sequence.held, 0);
    if (this.isLong(entry) && long.length > 0) {
      const most = total - Math.ceil(this.#contextTokens / limits.pageTokens);
      if (active(long) >= limits.longRequests || heldByLong + needed > most) {
        return { pages: needed, says: "pass" };
      }
    }
    if (needed <= available) return { pages: needed, says: "begin" };
    // Is it those that end whose pages it waits for? It holds some itself that it shares.
    const heldByOthers = held - heldByLong - sequence.held;
    return { pages: needed, says: needed <= available + heldByOthers ? "wait" : "pass" };
  }
}

/** Whether it does nothing until its reader catches up. */
export function isPaused({ job }: Entry): boolean {
  return job.events.waiting >= limits.eventsWaiting;
}

function active(entries: readonly Entry[]): number {
  return entries.filter((entry) => !isPaused(entry)).length;
}
