/**
 * `npm test`: installs what the tests need, then runs every check there is. Plain JavaScript for
 * Node.js 18 or later, because it runs before anything is installed. Its last line counts results.
 */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages } from "./support/packages.mjs";
import { run } from "./support/process.mjs";
import { ensureAdapter } from "./support/vulkan.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const bin = (/** @type {string} */ name) => join(root, "node_modules/.bin", name);
/** Kernels run on a software driver, perhaps on two busy cores: only what hangs is to be cut off. */
const TEST_TIMEOUT_MS = 120_000;
const counts = { passed: 0, failed: 0, skipped: 0 };
/** @type {string[]} */
const failures = [];

/** @param {string} name @param {string | undefined} problem */
function record(name, problem) {
  if (problem === undefined) {
    counts.passed++;
    console.log(`ok      ${name}`);
  } else {
    counts.failed++;
    failures.push(`${name}: ${problem}`);
    console.log(`FAILED  ${name}: ${problem}`);
  }
}

/** One command, one check. @param {string} name @param {string[]} command */
async function check(name, command) {
  const { ok, reason } = await run(command, { cwd: root, env, quiet: true });
  record(name, ok ? undefined : reason);
}

/** A program with many checks and a summary of its own. @param {string} name @param {string[]} command */
async function suite(name, command) {
  const { ok, output, reason } = await run(command, { cwd: root, env });
  const tail = output.trimEnd().split("\n").slice(-12).join("\n");
  const lines = [...tail.matchAll(/^\s*(\d+) (pass|fail|skip|todo|error)s?$/gm)];
  const sum = (/** @type {string[]} */ ...kinds) =>
    lines.reduce(
      (total, [, count, kind = ""]) => total + (kinds.includes(kind) ? Number(count) : 0),
      0,
    );
  const failed = sum("fail", "error");
  counts.passed += sum("pass");
  counts.failed += failed;
  counts.skipped += sum("skip", "todo");
  if (failed > 0) failures.push(`${name}: ${failed} failed, see above`);
  // A crash may leave no summary, or one without a failure.
  if (ok ? sum("pass") === 0 : failed === 0) record(name, `${reason}, without a failed test`);
}

const started = performance.now();
const scratch = mkdtempSync(join(tmpdir(), "arctic-test-"));
const cache = join(root, "node_modules/.cache");
/** Nothing outside the checkout is left behind. */
const env = {
  ...process.env,
  TMPDIR: scratch,
  XDG_RUNTIME_DIR: scratch,
  XDG_CACHE_HOME: cache,
  DENO_DIR: join(cache, "deno"),
  DENO_NO_UPDATE_CHECK: "1",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
  NO_COLOR: "1",
};

try {
  const problem = await installPackages(root);
  record("packages are installed", problem);
  if (problem === undefined) {
    mkdirSync(cache, { recursive: true });
    record("a GPU adapter is there", await ensureAdapter(root, env));
    await check("deno fmt --check", [bin("deno"), "fmt", "--check"]);
    await check("deno lint", [bin("deno"), "lint"]);
    await check("tsc --noEmit", [bin("tsc"), "--noEmit"]);
    await check("./arctic builds and starts", [join(root, "arctic"), "--version"]);
    await suite("compiled program", [bin("bun"), "compile/smoke.ts"]);
    await suite("bun test", [bin("bun"), "test", `--timeout=${TEST_TIMEOUT_MS}`]);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

for (const failure of failures) console.log(`FAILED  ${failure}`);
console.log(`${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed === 0 ? 0 : 1;
