/** Constraints that are slower than a step: their requests sit out until they are ready. */

import { limits } from "../limits.ts";
import type { Job } from "./job.ts";

/** A constraint that a job waits for. */
export interface Lateness {
  /** Never rejects. */
  readonly ready: Promise<void>;
  readonly isReady: () => boolean;
}

/** Logits that came before the constraint of their job was ready. */
interface Parked extends Lateness {
  readonly logits: Float32Array;
  readonly positions: readonly number[];
}

export class LateConstraints {
  readonly #parked = new Map<Job, Parked>();

  /**
   * Waits, for a moment, for the constraints of jobs that are about to be asked for a token.
   * @param fail what becomes of a job whose constraint cannot go on
   * @returns those that are not ready: the others do not wait for them
   */
  async wait(
    jobs: readonly Job[],
    fail: (job: Job, error: unknown) => void,
  ): Promise<ReadonlyMap<Job, Lateness>> {
    const late = new Map<Job, Lateness>();
    for (const job of jobs) {
      // One that was computed again while it waits has asked before.
      const ready = this.#parked.get(job)?.ready ?? job.ready()?.catch((error) => fail(job, error));
      if (!ready) continue;
      late.set(job, { ready, isReady: () => !late.has(job) });
      ready.then(() => late.delete(job));
    }
    if (late.size === 0) return late;
    const all = Promise.all([...late.values()].map(({ ready }) => ready));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limits.constraintGraceMilliseconds);
    await Promise.race([all, promise]);
    clearTimeout(timer);
    return late;
  }

  /** Keeps a copy of a job's logits for later. Without a pending token it has no part in steps until then. */
  park(
    job: Job,
    lateness: Lateness,
    logits: Float32Array,
    positions: readonly number[],
  ): void {
    this.#parked.set(job, { ...lateness, logits: logits.slice(), positions });
  }

  /** The job has new logits, or needs none any more. */
  forget(job: Job): void {
    this.#parked.delete(job);
  }

  /** Gives back what was kept for jobs whose constraints have become ready. */
  *taken(): Generator<readonly [Job, Parked]> {
    for (const [job, parked] of this.#parked) {
      if (!parked.isReady()) continue;
      this.#parked.delete(job);
      yield [job, parked];
    }
  }

  clear(): void {
    this.#parked.clear();
  }
}
