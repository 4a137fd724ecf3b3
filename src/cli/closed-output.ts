/** Whether there is a standard output at all. */

import { readFileSync } from "node:fs";

/** Of open(2), as /proc shows it. */
const O_CLOEXEC = 0o2000000;

/**
 * Whether standard output was closed when the program was started, as in `arctic … >&-`. Bun puts
 * /dev/null in its place, so that no write would ever fail; but it is to be closed on exec, and no
 * descriptor that came through an exec is. False where the system does not tell.
 */
export function wasOutputClosed(): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/fdinfo/1", "utf8"))?.[1];
    return (parseInt(flags ?? "0", 8) & O_CLOEXEC) !== 0;
  } catch {
    return false;
  }
}
