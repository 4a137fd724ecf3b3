/** The platforms that arctic is compiled for, and the npm packages each needs at build time. */

import process from "node:process";

export interface Target {
  /** As given to --target and in the file name. */
  readonly name: string;
  /** As Bun's bundler names it. */
  readonly bun: Bun.Build.CompileTarget;
  /** npm package of Bun's runtime for the platform. */
  readonly runtimePackage: string;
  /** npm package of bun-webgpu's shared library; null where bun-webgpu has none. */
  readonly libraryPackage: string | null;
  readonly suffix: "" | ".exe";
}

export const targets: readonly Target[] = [
  {
    name: "linux-x64",
    bun: "bun-linux-x64",
    runtimePackage: "@oven/bun-linux-x64",
    libraryPackage: "bun-webgpu-linux-x64",
    suffix: "",
  },
  {
    name: "linux-arm64",
    bun: "bun-linux-arm64",
    runtimePackage: "@oven/bun-linux-aarch64",
    libraryPackage: null,
    suffix: "",
  },
  {
    name: "darwin-arm64",
    bun: "bun-darwin-arm64",
    runtimePackage: "@oven/bun-darwin-aarch64",
    libraryPackage: "bun-webgpu-darwin-arm64",
    suffix: "",
  },
  {
    name: "windows-x64",
    bun: "bun-windows-x64",
    runtimePackage: "@oven/bun-windows-x64",
    libraryPackage: "bun-webgpu-win32-x64",
    suffix: ".exe",
  },
];

/** The target this machine is, if it is one. */
export function hostTarget(): Target | undefined {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  return targets.find((target) => target.name === `${platform}-${process.arch}`);
}
