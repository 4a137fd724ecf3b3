/** Files that the compiled program carries, unpacked once into a cache folder of the user's own. */

import { randomUUID } from "node:crypto";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { isAbsolute, join } from "node:path";
import process from "node:process";
import { ArcticError, errorCode } from "./errors.ts";

/** Candidates, best first: the user's cache, then a private folder under the system's temp. */
export function cacheFolders(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  const { XDG_CACHE_HOME, LOCALAPPDATA, HOME } = environment;
  const home = [XDG_CACHE_HOME, LOCALAPPDATA, HOME && join(HOME, ".cache")]
    .find((path) => path !== undefined && isAbsolute(path));
  const shared = join(tmpdir(), `arctic-${process.getuid?.() ?? userInfo().username}`);
  return home !== undefined ? [join(home, "arctic"), shared] : [shared];
}

/**
 * What `unpack` makes in the first of `folders` that takes it.
 * @param refuse the error when none does, made from the reasons
 */
export function inFirstFolder<T>(
  folders: readonly string[],
  unpack: (folder: string) => T,
  refuse: (reasons: string, cause: unknown) => ArcticError,
): T {
  const failures: unknown[] = [];
  for (const folder of folders) {
    try {
      return unpack(folder);
    } catch (error) {
      const isRefusal = errorCode(error) === "disk_cache_folder";
      const isSystemError = error instanceof Error && !(error instanceof ArcticError) &&
        "code" in error;
      if (!isRefusal && !isSystemError) throw error;
      failures.push(error);
    }
  }
  const reasons = failures.map((error) => error instanceof Error ? error.message : String(error));
  throw refuse(reasons.join("; "), failures[0]);
}

/**
 * Makes sure that `folder` holds a file `name` with exactly these bytes, and returns its path. A
 * damaged copy is replaced. Concurrent callers may each write, but to names of their own, and only
 * whole files are renamed into place.
 * @param mode of the file
 * @param check called before bytes that are not there yet are written
 */
export function putFile(
  folder: string,
  name: string,
  bytes: Uint8Array,
  mode: number,
  check: () => void = () => {},
): string {
  makePrivate(folder);
  const path = join(folder, name);
  if (holds(path, bytes)) return path;
  check();
  const partial = join(folder, `.${name}.${randomUUID()}`);
  try {
    writeFileSync(partial, bytes, { flag: "wx", mode: 0o600 });
    chmodSync(partial, mode);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    // Windows does not replace a file that another process has just put there and opened.
    if (!holds(path, bytes)) throw error;
  }
  return path;
}

/** Code and weights are loaded from here: refuse a folder that someone else made or may write to. */
function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (process.getuid === undefined) return;
  const status = lstatSync(folder);
  if (status.isDirectory() && status.uid === process.getuid() && (status.mode & 0o022) === 0) {
    return;
  }
  throw new ArcticError(
    "disk_cache_folder",
    `${folder} is not a folder that only this user can write to`,
  );
}

/** Whether the file is there with exactly these bytes. */
function holds(path: string, bytes: Uint8Array): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (!status?.isFile() || status.size !== bytes.byteLength) return false;
  return readFileSync(path).equals(bytes);
}
