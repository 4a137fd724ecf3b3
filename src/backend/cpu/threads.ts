import { assert } from "../../assert.ts";
import { ArcticError } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { workerUrl } from "../../worker-url.ts";
import { extentOf, type Job, runPart } from "./job.ts";
import { addressed, hasFailed, newState, takeParts, waitForOthers } from "./share.ts";
import { Workspace } from "./workspace.ts";

function startWorker(): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerUrl("src/backend/cpu/job-worker"));
    worker.onmessage = () => {
      // Idle threads do not keep the process alive.
      worker.unref();
      resolve(worker);
    };
    worker.onerror = ({ message }) =>
      reject(new ArcticError("device_no_threads", `A thread could not be started: ${message}.`));
  });
}

/** The calling thread and its helpers, which compute jobs together. */
export class Threads {
  readonly #workers: readonly Worker[];
  /** The calling thread's. */
  readonly #workspace = new Workspace();

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** @param count threads in all, the calling one included */
  static async open(count: number): Promise<Threads> {
    const helpers = Math.min(count, limits.cpuThreads) - 1;
    return new Threads(await Promise.all(Array.from({ length: helpers }, startWorker)));
  }

  get count(): number {
    return this.#workers.length + 1;
  }

  /** Returns when the whole job is done; a small one stays on the calling thread. */
  run(job: Job): void {
    const { total, unit, work } = extentOf(job);
    if (this.#workers.length === 0 || work < limits.cpuSharedWork) {
      return runPart(job, 0, total, this.#workspace);
    }
    assert(job.out.buffer instanceof SharedArrayBuffer, "threads cannot write to this output");
    const part = Math.ceil(total / (limits.cpuPartsPerThread * this.count * unit)) * unit;
    const shared = { state: newState(), total, part };
    const message = { job: addressed(job), ...shared };
    for (const worker of this.#workers) worker.postMessage(message);
    try {
      takeParts(shared, this.#workspace, () => job);
    } finally {
      waitForOthers(shared);
    }
    assert(!hasFailed(shared), `a thread of the CPU backend failed at ${job.op}`);
  }

  close(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}
