/**
 * Preloaded into `arctic serve`: each line of its standard input is a fault that the engine's thread
 * then has. Nothing else about the program is changed.
 *
 *     bun --preload test/fault/faulty.ts src/main.ts serve …
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { limits } from "../../src/limits.ts";

/**
 * nan: the first row of the next logits is no number; hang: they never come; crash: the thread throws
 * where nobody catches; lost: the graphics device is destroyed; memory: it reports that it has none.
 */
export type Fault = "nan" | "hang" | "crash" | "lost" | "memory";

export const CHANNEL = "faults";
/** A minute is too long for a test; a software device needs seconds for its first step. */
const WATCHDOG_MS = 1_000;

const ENGINE = /src\/cli\/serve-worker\.ts$/;

if (Bun.isMainThread) {
  const bounds = limits as { watchdogMilliseconds: number; watchdogLookMilliseconds: number };
  bounds.watchdogLookMilliseconds = WATCHDOG_MS / 10;

  const channel = new BroadcastChannel(CHANNEL);
  channel.unref();
  createInterface({ input: process.stdin }).on("line", (line) => {
    if (line === "hang") bounds.watchdogMilliseconds = WATCHDOG_MS;
    channel.postMessage(line);
  });

  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      const isEngine = ENGINE.test(String(url));
      super(isEngine ? new URL("./faulty-thread.ts", import.meta.url) : url, options);
    }
  };
}
