/**
 * Where bun-webgpu's shared library is on disk.
 *
 * In a checkout it is a file of an npm package. In the compiled program it is embedded, and Bun
 * would unpack it to a new temporary file at every start and leave it there (19 MB each): so it is
 * unpacked once into a cache folder, under the hash of its content, and loaded from there.
 */

import { extname } from "node:path";
import { ArcticError } from "../../errors.ts";
import { cacheFolders, inFirstFolder, putFile } from "../../unpack.ts";

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

/** A file with exactly these bytes in the first of `folders` that takes it. */
export function unpackOnce(bytes: Uint8Array, suffix: string, folders: readonly string[]): string {
  const name = new Bun.CryptoHasher("sha256").update(bytes).digest("hex") + suffix;
  return inFirstFolder(
    folders,
    (folder) => putFile(folder, name, bytes, 0o500),
    (reasons, cause) =>
      new ArcticError(
        "device_library_unpack",
        `The WebGPU library could not be unpacked to ${folders.join(" or ")} (${reasons}). ` +
          "Set XDG_CACHE_HOME to a folder that can be written to, or run with --backend cpu.",
        { cause },
      ),
  );
}
