/** Files that appear under their name only when they are whole and on the disk. */

import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../src/assert.ts";
import { errno } from "./files.ts";

/** What a file is called until it is whole. */
export const PARTIAL = ".partial";

/** Writes all of `bytes`. EINTR is taken up again, as are short writes. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    try {
      const n = writeSync(fd, bytes, done, bytes.length - done, position + done);
      assert(n > 0, "a write made no progress");
      done += n;
    } catch (error) {
      if (errno(error) !== "EINTR") throw error;
    }
  }
}

/** Makes the entries of a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Replaces a small file at once: temporary name, fsync, rename, fsync of the folder. */
export function writeWhole(folder: string, name: string, bytes: Uint8Array): void {
  const partial = join(folder, name + PARTIAL);
  const fd = openSync(partial, "w");
  try {
    writeFully(fd, bytes, 0);
    fsyncSync(fd);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(partial, join(folder, name));
  syncFolder(folder);
}

/** An empty file of a given length under its temporary name, without blocks on most file systems. */
export function createPartial(folder: string, name: string, bytes: number): string {
  const partial = join(folder, name + PARTIAL);
  const fd = openSync(partial, "w");
  try {
    ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
  return partial;
}

/**
 * Gives a partial file its name once its bytes are on the disk; other work goes on meanwhile.
 * @param synced called in between
 */
export async function finishPartial(
  folder: string,
  name: string,
  synced: () => void,
): Promise<void> {
  const partial = join(folder, name + PARTIAL);
  const file = await open(partial, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  synced();
  renameSync(partial, join(folder, name));
  syncFolder(folder);
}
