import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "../../compile/build.ts";
import { hostTarget } from "../../compile/targets.ts";
import { defined } from "../../src/assert.ts";
import { tinyModel, writeCheckpoint } from "../golden/tiny-model.ts";

const BUILD = fileURLToPath(new URL("../../compile/build.ts", import.meta.url));
const host = defined(hostTarget(), "a target for this machine");

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "build-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("a build without WebGPU library and model says so, refuses both by name, and has the CPU", async () => {
  const folder = join(scratch, "cpu only");
  const file = join(folder, "arctic");
  const built = await build({ ...host, libraryPackage: null }, file, join(scratch, "no model"));
  expect(built.withoutGpu).toContain(host.name);
  expect(built.withModel).toBe(false);
  // Nothing else is left beside it.
  expect(readdirSync(folder)).toEqual(["arctic"]);

  const without = Bun.spawnSync([file, "prompt", "hi"], { env: {} });
  expect(without.exitCode).toBe(2);
  expect(without.stderr.toString()).toBe(
    "arctic: No model was given, and this build has none inside. Give --model DIR or set ARCTIC_MODEL.\n",
  );

  writeCheckpoint(tinyModel(), join(folder, "checkpoint"));
  const arctic = (...args: string[]) => Bun.spawnSync([file, ...args], { cwd: folder, env: {} });
  expect(arctic("convert", "checkpoint", "model").exitCode).toBe(0);
  const prompt = ["prompt", "--model", "model", "--tokens", "1,2,3", "--max-tokens", "2"];

  const gpu = arctic(...prompt, "--backend", "gpu");
  expect(gpu.exitCode).toBe(1);
  expect(gpu.stderr.toString()).toContain(`no WebGPU library for ${process.platform}`);
  expect(gpu.stderr.toString()).toContain("--backend cpu");

  const auto = arctic(...prompt, "--backend", "auto");
  expect(auto.exitCode).toBe(0);
  expect(auto.stderr.toString()).toContain("CPU");
});

test("a target that is not known is refused with those that are", () => {
  const result = Bun.spawnSync([process.execPath, BUILD, "--target", "amiga-68k"], {
    cwd: scratch,
  });
  expect(result.exitCode).toBe(1);
  expect(result.stderr.toString()).toContain("amiga-68k");
  expect(result.stderr.toString()).toContain("linux-arm64");
});
