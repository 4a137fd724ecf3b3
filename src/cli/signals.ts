/** Ctrl-C ends a command in order; a second one ends it at once. */

import process from "node:process";
import { Exit } from "../errors.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Interruption {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  dispose(): void;
}

/** @param restore puts the terminal right before the process ends at once */
export function onInterrupt(restore: () => void): Interruption {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) {
      restore();
      process.exit(Exit.interrupted);
    }
    controller.abort();
  };
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const signal of signals) process.off(signal, interrupt);
    },
  };
}
