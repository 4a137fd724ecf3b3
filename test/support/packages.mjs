/** The npm packages that the tests need, as package-lock.json pins them. */

import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { run } from "./process.mjs";

/**
 * Runs `npm ci` unless node_modules is complete and no older than the lock file.
 *
 * @param {string} root the checkout
 * @returns {Promise<string | undefined>} what went wrong
 */
export async function installPackages(root) {
  if (isCurrent(root)) return undefined;
  console.log("installing the packages of package-lock.json with npm ci ...");
  // A script of npm's own may be running this one: its npm is the one to use.
  const npm = process.env.npm_execpath === undefined
    ? ["npm"]
    : [process.execPath, process.env.npm_execpath];
  const command = [...npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const { ok, reason } = await run(command, { cwd: root, quiet: true });
  if (!ok) return `npm ci failed: ${reason}`;
  return isCurrent(root) ? undefined : "npm ci left no node_modules/.bin/bun that runs";
}

/** @param {string} root */
function isCurrent(root) {
  const modified = (/** @type {string} */ path) =>
    statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  // npm writes this file at the end of a complete installation.
  const installed = modified("node_modules/.package-lock.json");
  if (installed === 0 || installed < modified("package-lock.json")) return false;
  return spawnSync(join(root, "node_modules/.bin/bun"), ["--version"]).status === 0;
}
