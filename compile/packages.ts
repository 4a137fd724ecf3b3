/**
 * npm packages of other platforms. npm installs only those of the machine it runs on; the rest are
 * fetched here, by name and at the locked version, into a folder under node_modules.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const CACHE = join(ROOT, "node_modules", ".cache", "arctic");

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
}

/** @throws Error when package-lock.json has no such package */
function locked(name: string): LockedPackage {
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const entry = lock.packages[`node_modules/${name}`];
  if (entry === undefined) throw new Error(`package-lock.json does not name ${name}.`);
  return entry;
}

/**
 * The folder of a package at its locked version: the installed one, or one that npm fetches now.
 *
 * @throws Error with npm's own words when npm cannot get it
 */
export function packageFolder(name: string): string {
  const entry = locked(name);
  const installed = join(ROOT, "node_modules", name);
  if (existsSync(join(installed, "package.json"))) return installed;
  const place = join(CACHE, `${name.replace("/", "-")}-${entry.version}`);
  const folder = join(place, "node_modules", name);
  if (!existsSync(folder)) fetchInto(place, name, entry);
  return folder;
}

/** A lock file of this one package makes npm itself check the archive's integrity. */
function fetchInto(place: string, name: string, entry: LockedPackage): void {
  const partial = `${place}.${process.pid}.partial`;
  mkdirSync(partial, { recursive: true });
  const dependencies = { [name]: entry.version };
  writeFileSync(join(partial, "package.json"), JSON.stringify({ dependencies }));
  const packages = {
    "": { dependencies },
    [`node_modules/${name}`]: { ...entry, optional: false },
  };
  writeFileSync(
    join(partial, "package-lock.json"),
    JSON.stringify({ lockfileVersion: 3, requires: true, packages }),
  );
  // --force: the package says that it is for another platform, which is what is wanted.
  const npm = Bun.spawnSync(
    ["npm", "ci", "--force", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    { cwd: partial, stdout: "ignore", stderr: "pipe" },
  );
  try {
    if (!npm.success || !existsSync(join(partial, "node_modules", name))) {
      throw new Error(`npm could not get ${name}@${entry.version}: ${firstLines(npm.stderr)}`);
    }
    rmSync(place, { recursive: true, force: true });
    renameSync(partial, place);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

function firstLines(output: Uint8Array): string {
  const lines = new TextDecoder().decode(output).split("\n").filter((line) => line.trim() !== "");
  return lines.slice(0, 3).join(" ") || "npm said nothing";
}
