/**
 * How long work took, whatever else the machine had to do meanwhile: wall-clock time less the time for
 * which threads were ready to run and had no processor. Where Linux does not tell that, it is the
 * wall-clock time.
 */

import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";

const SAMPLE_MS = 10;

/** Milliseconds for which a process's main thread has been ready to run and was not let. */
export function mainThreadWaited(pid: number = process.pid): number {
  return threadWaited(pid, pid) ?? 0;
}

/** The second number of schedstat: nanoseconds on a run queue (Linux, Documentation/scheduler). */
function threadWaited(pid: number, thread: string | number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
    return Number(text.split(" ")[1]) / 1e6;
  } catch {
    return undefined; // it has ended
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it has ended
  }
}

/** How long one thread has waited: when the watch was started, and when it was last seen. */
interface Waits {
  readonly before: number;
  last: number;
}

/** Runs from its construction on. */
export class Stopwatch {
  readonly #started: number;
  readonly #processes: ReadonlyMap<number, Map<string, Waits>>;

  /** @param pids of the processes that work one after the other; by default this one */
  constructor(pids: readonly number[] = [process.pid]) {
    this.#processes = new Map(pids.map((pid) => [pid, new Map<string, Waits>()]));
    this.#look((now) => now);
    this.#started = performance.now();
  }

  /** Takes note of the waits so far, which a thread that ends takes along. */
  look(): void {
    this.#look(() => 0);
  }

  /**
   * Milliseconds since the start, less those for which each process waited for a processor: the thread
   * of it that waited longest. Threads at work at the same time wait at the same time.
   */
  own(): number {
    const took = performance.now() - this.#started;
    this.look();
    const waited = [...this.#processes.values()].map((threads) =>
      Math.max(0, ...[...threads.values()].map(({ before, last }) => last - before))
    );
    return Math.max(0, took - waited.reduce((sum, each) => sum + each, 0));
  }

  /** @param before what a thread that is new had waited when it began to count */
  #look(before: (now: number) => number): void {
    for (const [pid, threads] of this.#processes) {
      for (const thread of threadsOf(pid)) {
        const now = threadWaited(pid, thread);
        if (now === undefined) continue;
        const known = threads.get(thread);
        if (known === undefined) threads.set(thread, { before: before(now), last: now });
        else known.last = now;
      }
    }
  }
}

/** Waits for `work`, whose threads or processes may end with it, and tells what it took. */
export async function ownTime<T>(
  work: Promise<T>,
  pids?: readonly number[],
): Promise<{ readonly value: T; readonly own: number }> {
  const watch = new Stopwatch(pids);
  const sampler = setInterval(() => watch.look(), SAMPLE_MS);
  try {
    const value = await work;
    return { value, own: watch.own() };
  } finally {
    clearInterval(sampler);
  }
}
