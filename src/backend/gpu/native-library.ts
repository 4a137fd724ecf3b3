/**
 * Where bun-webgpu's shared library is on disk.
 *
 * In a checkout it is a file of an npm package. In the compiled program it is embedded, and Bun
 * would unpack it to a new temporary file at every start and leave it there (19 MB each): so it is
 * unpacked once into a cache folder, under the hash of its content, and loaded from there.
 */

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
import { extname, isAbsolute, join } from "node:path";
import { ArcticError, errorCode } from "../../errors.ts";

/**
 * Path of the shared library to hand to bun-webgpu's `createGPUInstance(path)`.
 *
 * @throws ArcticError `device_library_missing` when this build has none for its platform,
 *   `device_library_unpack` when no folder can be written to
 */
export async function nativeLibraryPath(): Promise<string> {
  const path = await packagedPath();
  // Bun serves the files inside a compiled program under this folder, to its own calls only.
  if (!/[/\\](\$bunfs|~BUN)[/\\]/.test(path)) return path;
  return await unpackOnce(
    new Uint8Array(await Bun.file(path).arrayBuffer()),
    extname(path),
    cacheFolders(),
  );
}

async function packagedPath(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    // The bundler folds this name for its target and embeds the library it leads to. It does so
    // only for the global `process`: this file must not import it.
    const module: { default?: unknown } = await import(
      `bun-webgpu-${process.platform}-${process.arch}/index.ts`
    );
    if (typeof module.default === "string") return module.default;
  } catch (error) {
    throw missing(platform, error);
  }
  throw missing(platform);
}

function missing(platform: string, cause?: unknown): ArcticError {
  return new ArcticError(
    "device_library_missing",
    `This build of arctic has no WebGPU library for ${platform}, so it cannot use a GPU. ` +
      `Run it with --backend cpu, or use a build for a platform that bun-webgpu supports.`,
    { cause },
  );
}

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
 * A file with exactly these bytes in the first of `folders` that takes it. Concurrent callers may
 * each write, but to names of their own, and only whole files are renamed into place.
 */
export function unpackOnce(bytes: Uint8Array, suffix: string, folders: readonly string[]): string {
  const name = new Bun.CryptoHasher("sha256").update(bytes).digest("hex") + suffix;
  const failures: unknown[] = [];
  for (const folder of folders) {
    try {
      return unpackInto(folder, name, bytes);
    } catch (error) {
      if (errorCode(error) === undefined && !(error instanceof Error && "code" in error)) {
        throw error;
      }
      failures.push(error);
    }
  }
  throw new ArcticError(
    "device_library_unpack",
    `The WebGPU library could not be unpacked to ${folders.join(" or ")} ` +
      `(${
        failures.map((error) => error instanceof Error ? error.message : String(error)).join("; ")
      }). ` +
      `Set XDG_CACHE_HOME to a folder that can be written to, or run with --backend cpu.`,
    { cause: failures[0] },
  );
}

function unpackInto(folder: string, name: string, bytes: Uint8Array): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  assertPrivate(folder);
  const path = join(folder, name);
  if (holds(path, bytes)) return path;
  const partial = join(folder, `.${name}.${randomUUID()}`);
  try {
    writeFileSync(partial, bytes, { flag: "wx", mode: 0o600 });
    chmodSync(partial, 0o500);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    // Windows does not replace a library that another process has just put there and loaded.
    if (!holds(path, bytes)) throw error;
  }
  return path;
}

/** Code is loaded from here: refuse a folder that someone else made or may write to. */
function assertPrivate(folder: string): void {
  if (process.getuid === undefined) return;
  const status = lstatSync(folder);
  if (status.isDirectory() && status.uid === process.getuid() && (status.mode & 0o022) === 0) {
    return;
  }
  throw new ArcticError(
    "device_library_unpack",
    `${folder} is not a folder that only this user can write to`,
  );
}

/** Whether the file is there with exactly these bytes: a damaged copy is replaced. */
function holds(path: string, bytes: Uint8Array): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (!status?.isFile() || status.size !== bytes.byteLength) return false;
  return readFileSync(path).equals(bytes);
}
