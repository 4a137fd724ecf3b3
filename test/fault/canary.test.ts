/**
 * The tests of this folder are worth something only if they fail where there is something to find: each
 * guard in turn is taken out of the product, and the test that is there because of it has to fail.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { guards } from "./guards.ts";

/** A test without its guard may never come to its end; with all of them only what hangs is cut off. */
const TEST_MS = 10_000;
const PATIENCE = 6;
setDefaultTimeout(5 * PATIENCE * TEST_MS);

const root = fileURLToPath(new URL("../../", import.meta.url));

async function run(file: string, without: string, testMs = TEST_MS) {
  const command = ["test", `--timeout=${testMs}`, "--preload", "./test/fault/unguarded.ts", file];
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: root,
    env: { ...process.env, ARCTIC_TEST_WITHOUT: without },
    stdout: "ignore",
    stderr: "pipe",
    timeout: 4 * PATIENCE * TEST_MS,
    killSignal: "SIGKILL",
  });
  const text = await child.stderr.text();
  const failed = [...text.matchAll(/^\(fail\) (.*)$/gm)].map(([, name = ""]) => name);
  return { code: await child.exited, failed, text };
}

test.each([...new Set(guards.map(({ test }) => test))])(
  "%s passes with all guards",
  async (file) => {
    expect(await run(file, "", PATIENCE * TEST_MS)).toMatchObject({ code: 0, failed: [] });
  },
);

test.each(guards.map((guard, place) => [guard.name, guard, place] as const))(
  "without this, its test fails: %s",
  async (_, guard, place) => {
    const { code, failed, text } = await run(guard.test, String(place));
    expect(code, text).toBe(1);
    expect(failed.some((name) => name.startsWith(guard.fails)), text).toBe(true);
  },
);
