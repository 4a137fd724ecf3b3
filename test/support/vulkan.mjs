/**
 * A Vulkan driver for the kernels to run on. Debian 12's own Mesa is too old for WebGPU; the one in
 * its backports has a software driver that is new enough.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./process.mjs";

const PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];

/**
 * Makes sure that there is an adapter, installing Mesa's driver where this is Debian and root.
 *
 * @param {string} root the checkout
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>} why there is none
 */
export async function ensureAdapter(root, env) {
  const probe = () =>
    run([join(root, "node_modules/.bin/bun"), "test/support/gpu.ts"], {
      cwd: root,
      env,
      quiet: true,
    });
  let found = await probe();
  if (found.ok) {
    console.log(`GPU adapter: ${found.output.trim()}`);
    return undefined;
  }
  const advice = "install a Vulkan driver: on Debian 12 `mesa-vulkan-drivers` from " +
    "bookworm-backports, elsewhere Mesa 24 or newer or the vendor's own";
  if (process.getuid?.() !== 0 || release().ID !== "debian") return advice;
  const failure = await installMesa();
  if (failure !== undefined) return `${failure}; ${advice}`;
  found = await probe();
  if (!found.ok) return `the driver is installed but not usable; ${advice}`;
  console.log(`GPU adapter: ${found.output.trim()}`);
  return undefined;
}

/** @returns {Promise<string | undefined>} what went wrong */
async function installMesa() {
  console.log(`installing ${PACKAGES.join(" and ")} with apt-get ...`);
  const folder = mkdtempSync(join(tmpdir(), "arctic-apt-"));
  try {
    const { options, suite } = sources(folder);
    // No service is running that a package could want to restart, and nobody is there to answer.
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const apt = async (/** @type {string[]} */ ...rest) =>
      await run(["apt-get", ...options, "-q", ...rest], { cwd: "/", env, quiet: true });
    const update = await apt("update");
    if (!update.ok) return `apt-get update failed: ${update.reason}`;
    const from = suite === undefined ? [] : ["-t", suite];
    const install = await apt("install", "-y", "--no-install-recommends", ...from, ...PACKAGES);
    return install.ok ? undefined : `apt-get install failed: ${install.reason}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * On Debian 12, apt's options for its own sources plus the same mirror's backports. They are in a
 * file of ours for this run only: nothing under /etc is changed.
 *
 * @param {string} folder
 * @returns {{options: string[], suite: string | undefined}}
 */
function sources(folder) {
  const codename = release().VERSION_CODENAME;
  if (codename !== "bookworm") return { options: [], suite: undefined };
  const suite = `${codename}-backports`;
  const list = existsSync("/etc/apt/sources.list")
    ? readFileSync("/etc/apt/sources.list", "utf8")
    : "";
  const file = join(folder, "sources.list");
  writeFileSync(file, `${list}\n${backportsLine(list, codename, suite)}\n`);
  // Signatures are checked as ever; a frozen mirror's file may only be past its date.
  const options = ["-o", `Dir::Etc::SourceList=${file}`, "-o", "Acquire::Check-Valid-Until=false"];
  return { options, suite };
}

/**
 * The machine's entry for `codename`, changed to name `suite`; empty when it has `suite` already.
 *
 * @param {string} list text of /etc/apt/sources.list
 * @param {string} codename
 * @param {string} suite
 */
function backportsLine(list, codename, suite) {
  const entries = [...oneLineEntries(list)];
  const parts = "/etc/apt/sources.list.d";
  for (const name of existsSync(parts) ? readdirSync(parts) : []) {
    const text = readFileSync(join(parts, name), "utf8");
    if (name.endsWith(".list")) entries.push(...oneLineEntries(text));
    if (name.endsWith(".sources")) entries.push(...stanzaEntries(text));
  }
  if (entries.some((entry) => entry.suites.includes(suite))) return "";
  const base = entries.find((entry) => entry.suites.includes(codename));
  return base === undefined ? "" : `deb ${base.options}${base.uri} ${suite} main`;
}

/** @typedef {{options: string, uri: string, suites: string[]}} Entry */

/** @param {string} text @returns {Entry[]} */
function oneLineEntries(text) {
  return [...text.matchAll(/^deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)/gm)]
    .map(([, options = "", uri = "", suite = ""]) => ({ options, uri, suites: [suite] }));
}

/** @param {string} text paragraphs of `Field: value` lines @returns {Entry[]} */
function stanzaEntries(text) {
  return text.split(/\n\s*\n/).map((stanza) => {
    const field = (/** @type {string} */ name) =>
      new RegExp(`^${name}:\\s*(.*)$`, "mi").exec(stanza)?.[1]?.trim() ?? "";
    const key = field("Signed-By");
    const options = key.startsWith("/") ? `[signed-by=${key}] ` : "";
    const uri = field("URIs").split(/\s+/)[0] ?? "";
    return { options, uri, suites: field("Suites").split(/\s+/) };
  });
}

/** @returns {Record<string, string>} the fields of /etc/os-release */
function release() {
  if (!existsSync("/etc/os-release")) return {};
  const text = readFileSync("/etc/os-release", "utf8");
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)="?([^"\n]*)"?$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );
}
