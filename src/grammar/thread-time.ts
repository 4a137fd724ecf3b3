/** How long a thread has computed, as another sees it while the first cannot answer. */

import { readFileSync, readlinkSync } from "node:fs";

/** What names the calling thread to the others of its process; undefined where Linux does not tell. */
export function ownTask(): string | undefined {
  try {
    return readlinkSync("/proc/thread-self").split("/").at(-1);
  } catch {
    return undefined;
  }
}

/** Milliseconds that a thread of this process has computed; undefined where nobody tells. */
export function computedMilliseconds(task: string | undefined): number | undefined {
  if (task === undefined) return undefined;
  try {
    // Its first number: nanoseconds on a processor.
    const text = readFileSync(`/proc/self/task/${task}/schedstat`, "utf8");
    return Number.parseInt(text, 10) / 1e6;
  } catch {
    return undefined;
  }
}
