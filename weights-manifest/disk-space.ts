/** Room on a disk, and the sentence for when there is none. */

import { statfsSync } from "node:fs";
import { ArcticError } from "../src/errors.ts";
import { errno } from "./files.ts";

/** No room, no quota, or a file larger than the process may write. */
const DISK_FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

export function isDiskFull(error: unknown): boolean {
  return DISK_FULL.has(errno(error));
}

/** Bytes that may still be written to the disk of a folder. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** What a conversion still has to write. */
export interface Need {
  readonly folder: string;
  /** Bytes of all unfinished shards. */
  readonly bytes: number;
  readonly largestFile: number;
}

export function diskFull(need: Need, free: number, cause?: unknown): ArcticError {
  const { folder, bytes, largestFile } = need;
  if (errno(cause) === "EFBIG") {
    return new ArcticError(
      "disk_full",
      `A file in ${folder} may not grow to the size it needs: a limit of the process (ulimit -f) or ` +
        `of the file system forbids it. ${bytes} bytes are still to be written, in files of up to ` +
        `${largestFile} bytes.`,
      { cause },
    );
  }
  return new ArcticError(
    "disk_full",
    `The disk of ${folder} is full: ${bytes} bytes are still to be written and ${free} are free, so ` +
      `${Math.max(bytes - free, 0)} bytes are missing. Make room and run the same command again; ` +
      "finished shards are kept.",
    { cause },
  );
}
