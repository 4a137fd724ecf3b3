/**
 * Chooses what `import("bun-webgpu-PLATFORM/index.ts")` means in the compiled program: the target's
 * shared library, embedded; or, where there is none to be had, a module that says so.
 */

import { join } from "node:path";
import { packageFolder } from "./packages.ts";
import type { Target } from "./targets.ts";

const PACKAGE = /^bun-webgpu-(linux|darwin|win32)-\w+\/index\.ts$/;

export interface NativeLibrary {
  readonly plugin: Bun.BunPlugin;
  /** Why there is no library; null when there is one. */
  readonly missing: string | null;
}

export function nativeLibrary(target: Target): NativeLibrary {
  const { entry, missing } = find(target);
  return {
    missing,
    plugin: {
      name: "native-library",
      setup(build) {
        build.onResolve(
          { filter: PACKAGE },
          () => entry === null ? { path: "none", namespace: "native-library" } : { path: entry },
        );
        build.onLoad({ filter: /^none$/, namespace: "native-library" }, () => ({
          contents: "export default null;",
          loader: "js",
        }));
      },
    },
  };
}

function find(target: Target): { entry: string | null; missing: string | null } {
  if (target.libraryPackage === null) {
    return { entry: null, missing: `bun-webgpu has no library for ${target.name}.` };
  }
  try {
    return { entry: join(packageFolder(target.libraryPackage), "index.ts"), missing: null };
  } catch (error) {
    return { entry: null, missing: error instanceof Error ? error.message : String(error) };
  }
}
