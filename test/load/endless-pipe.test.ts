/** `arctic prompt --unbounded` writing to a pipe: the same memory all along, and a clean end. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { synth } from "../../weights-manifest/synth.ts";
import { command, environment, temporaryFolder, tinyConfig } from "../cli/arctic.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
const model = join(folder.path, "model");
const PAGE = 4096;
/** Bytes by which a collector may let a process grow that keeps nothing. */
const SLACK = 24e6;

// Under this seed the end-of-sequence token is never the likeliest.
beforeAll(async () => {
  await synth(tinyConfig, model, { seed: 6 });
});
afterAll(folder.remove);

function endless() {
  const args = ["prompt", "--backend=cpu", "--model", model, "--tokens", "254,1,2"];
  const window = ["--unbounded", "--sinks=4", "--window=64", "--temperature=0"];
  return Bun.spawn([...command, ...args, ...window], {
    env: environment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Bytes of a process in memory (proc_pid_statm(5), second number). */
function resident(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE;
}

const isLinux = existsSync("/proc/self/statm");
if (!isLinux) console.warn("The memory of a process is only read from /proc: skipped.");

test.skipIf(!isLinux)("memory stays flat while it is read, and while it is not", async () => {
  const child = endless();
  const reader = child.stdout.getReader();
  let tokens = 0;
  const readUntil = async (count: number) => {
    while (tokens < count) {
      const { value, done } = await reader.read();
      if (done) throw new Error("it ended");
      tokens += value.reduce((sum, byte) => sum + Number(byte === 0x20), 0);
    }
  };
  await readUntil(3_000);
  const early = resident(child.pid);
  await readUntil(15_000);
  const late = resident(child.pid);
  // Nobody reads: the pipe fills up, then the generation waits.
  await Bun.sleep(1_500);
  const unread = resident(child.pid);
  expect(late - early).toBeLessThan(SLACK);
  expect(unread - late).toBeLessThan(SLACK);
  // The reader goes away.
  await reader.cancel();
  expect(await child.exited).toBe(0);
  expect(await child.stderr.text()).toBe("");
});
