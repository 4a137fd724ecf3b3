/** Files in a folder from a stranger: plain names, regular files, nothing outside the folder. */

import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { join, sep } from "node:path";
import { ArcticError } from "../src/errors.ts";
import type { ErrorCode } from "../src/errors.ts";
import { quote } from "./strict-json.ts";

/** The system's name of an error, such as ENOENT; "" for anything else. */
export function errno(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** The sentence for a file operation that failed. */
export function fileError(
  code: ErrorCode,
  path: string,
  doing: string,
  cause: unknown,
): ArcticError {
  if (cause instanceof ArcticError) return cause;
  const reason = errno(cause) || (cause instanceof Error ? cause.message : String(cause));
  const advice = reason === "ENOENT"
    ? "It does not exist."
    : reason === "EACCES"
    ? "Permission is denied."
    : reason === "EMFILE" || reason === "ENFILE"
    ? "Too many files are open; raise the limit with `ulimit -n`."
    : `The system reports ${reason}.`;
  return new ArcticError(code, `${path} cannot be ${doing}. ${advice}`, { cause });
}

/** True for a name that cannot lead out of its folder and is no hidden file. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(name);
}

/**
 * The real path of a regular file inside `folder`.
 * @throws ArcticError `weights_path_outside`, `weights_not_a_file` or `weights_unreadable`
 */
export function fileInside(folder: string, name: string): { path: string; stats: Stats } {
  const outside = (why: string) =>
    new ArcticError(
      "weights_path_outside",
      `${folder} names the file ${quote(name)}, ${why}. Files of a model must lie in its own ` +
        "folder; copy them there.",
    );
  if (name.length === 0 || name.includes("\0") || name.includes("\\") || name.startsWith("/")) {
    throw outside("which is not a name inside the folder");
  }
  if (name.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw outside("which is not a name inside the folder");
  }
  const joined = join(folder, name);
  try {
    const root = realpathSync(folder);
    const path = realpathSync(joined);
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
      throw outside("a link that leads out of it");
    }
    const stats = statSync(path);
    if (!stats.isFile()) {
      throw new ArcticError(
        "weights_not_a_file",
        `${joined} is ${kind(stats)}; a regular file is needed.`,
      );
    }
    return { path, stats };
  } catch (cause) {
    throw fileError("weights_unreadable", joined, "read", cause);
  }
}

function kind(stats: Stats): string {
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a pipe";
  if (stats.isSocket()) return "a socket";
  return "a device";
}

/** True where something, even a dangling link, has that name. */
export function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return false;
    throw fileError("weights_unreadable", path, "looked up", error);
  }
}

/** Reads until `into` is full or the file ends; the bytes read. EINTR is taken up again. */
export function readFully(fd: number, into: Uint8Array, position: number): number {
  let done = 0;
  while (done < into.length) {
    try {
      const n = readSync(fd, into, done, into.length - done, position + done);
      if (n === 0) break;
      done += n;
    } catch (error) {
      if (errno(error) !== "EINTR") throw error;
    }
  }
  return done;
}

/** A whole small file. @throws ArcticError `weights_file_too_large`, `weights_unreadable` and fileInside's */
export function readSmall(folder: string, name: string, most: number): Uint8Array<ArrayBuffer> {
  const { path } = fileInside(folder, name);
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const size = fstatSync(fd).size;
    if (size > most) {
      throw new ArcticError(
        "weights_file_too_large",
        `${path} has ${size} bytes; at most ${most} are allowed for this file.`,
      );
    }
    const bytes = new Uint8Array(size);
    const got = readFully(fd, bytes, 0);
    if (got < size) {
      throw new ArcticError(
        "weights_truncated",
        `${path} shrank while it was read: ${got} of ${size} bytes are there.`,
      );
    }
    return bytes;
  } catch (cause) {
    throw fileError("weights_unreadable", path, "read", cause);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
