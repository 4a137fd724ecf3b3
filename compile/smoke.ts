/**
 * Runs the compiled program as its users will: the one file, copied alone into an empty folder with
 * a space in its name, with an empty environment.
 *
 *     bun compile/smoke.ts [FILE]         default: dist/arctic
 *
 * Prints one line a check, then how many passed, failed and were skipped.
 */

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { embeddedModelFolder } from "../src/embedded-model.ts";
import { gpuMissing } from "../test/support/gpu.ts";
import { tinyModel, tinyTokens, writeCheckpoint } from "../test/golden/tiny-model.ts";

/** `arctic --version` from a warm disk, best of several. */
const STARTUP_MS = 100;
const STARTUP_RUNS = 8;
const TIMEOUT_MS = 60_000;

const scratch = mkdtempSync(join(tmpdir(), "arctic-smoke-"));
const folder = join(scratch, "a folder");
const program = join(folder, process.platform === "win32" ? "arctic.exe" : "arctic");
const model = tinyModel();
const prompt = ["prompt", "--model", "model", "--tokens", tinyTokens(model, 12).join(",")];
const greedy = [...prompt, "--max-tokens", "16", "--temperature", "0", "--json"];
const counts = { pass: 0, fail: 0, skip: 0 };

function check(name: string, body: () => void): void {
  try {
    body();
    counts.pass++;
    console.log(`ok      ${name}`);
  } catch (error) {
    counts.fail++;
    console.log(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function skip(name: string, reason: string): void {
  counts.skip++;
  console.log(`skipped ${name}: ${reason}`);
}

function expect(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[], env: Record<string, string> = {}): Result {
  const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync([program, ...args], {
    cwd: folder,
    env,
    stdin: "ignore",
    timeout: TIMEOUT_MS,
  });
  expect(signalCode === undefined, `${args[0]} was ended by ${signalCode}`);
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** Standard output of a run that must succeed. */
function succeed(args: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = start(args, env);
  expect(status === 0, `\`arctic ${args.join(" ")}\` exited with ${status}: ${stderr.trim()}`);
  return stdout;
}

function generate(backend: "cpu" | "gpu", env: Record<string, string> = {}): number[] {
  const { tokens } = JSON.parse(succeed([...greedy, "--backend", backend], env)) as {
    tokens?: number[];
  };
  expect(Array.isArray(tokens) && tokens.length > 0, `no tokens came from the ${backend} backend`);
  return tokens;
}

function files(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
}

function startUp(): void {
  let best = Infinity;
  for (let run = 0; run < STARTUP_RUNS; run++) {
    const begun = performance.now();
    succeed(["--version"]);
    best = Math.min(best, performance.now() - begun);
  }
  console.log(`        --version takes ${best.toFixed(0)} ms`);
  expect(best < STARTUP_MS, `it takes ${best.toFixed(0)} ms, more than ${STARTUP_MS}`);
}

/** The library is unpacked by the first start alone, to one file, and a damaged one is replaced. */
function unpacksOnce(): void {
  const temp = join(scratch, "temp");
  mkdirSync(temp);
  const env = { TMPDIR: temp };
  generate("gpu", env);
  const first = files(temp);
  expect(first.length === 2, `the first start left ${first.join(", ") || "nothing"}`);
  generate("gpu", env);
  const second = files(temp);
  expect(second.join() === first.join(), `the second start left ${second.join(", ")}`);
  const library = join(temp, first[1] ?? "");
  chmodSync(library, 0o600);
  writeFileSync(library, readFileSync(library).fill(0, 0, 64));
  generate("gpu", env);
}

function convertsAndVerifies(): void {
  writeCheckpoint(model, join(folder, "checkpoint"));
  succeed(["convert", "checkpoint", "model"]);
  succeed(["verify", "model"]);
}

function embeddedAnswers(): void {
  const home = join(scratch, "model cache");
  const ask = ["prompt", "--backend", "cpu", "How many customers are there?"];
  const environments: Record<string, string>[] = [{}, { XDG_CACHE_HOME: home }];
  for (const env of environments) {
    const answer = succeed(ask, env);
    expect(answer === "SELECT COUNT(*) FROM customers\n", `it says ${JSON.stringify(answer)}`);
  }
  expect(files(home).length > 2, "nothing was unpacked");
}

function refusesUsage(): void {
  const { status, stdout, stderr } = start(["prompt", "--no-such-flag"]);
  expect(status === 2, `an unknown flag exits with ${status}`);
  expect(stdout === "" && stderr.includes("--no-such-flag"), `it says: ${stderr}`);
}

function main(source: string): void {
  mkdirSync(folder);
  copyFileSync(source, program);
  expect(files(folder).length === 1, "the folder is not empty");
  check("--version", () => {
    const text = succeed(["--version"]);
    expect(/^arctic \d+\.\d+\.\d+\n$/.test(text), `it prints ${JSON.stringify(text)}`);
  });
  check("starts fast", startUp);
  check("doctor", () => expect(succeed(["doctor"]) !== "", "it prints nothing"));
  check("an unknown flag is refused", refusesUsage);
  check("convert (in its worker) and verify", convertsAndVerifies);
  check("synth and inspect", () => {
    succeed(["synth", join("checkpoint", "config.json"), "random"]);
    expect(succeed(["inspect", "random"]) !== "", "inspect prints nothing");
  });
  check("prompt on the CPU", () => void generate("cpu"));
  if (embeddedModelFolder() === undefined) {
    skip("the embedded model answers", "the checkout has no model to embed");
  } else {
    check("the embedded model answers", embeddedAnswers);
  }
  if (gpuMissing === undefined) {
    check("prompt on the GPU, with the CPU's tokens", () => {
      const [gpu, cpu] = [generate("gpu"), generate("cpu")];
      expect(gpu.join() === cpu.join(), `GPU ${gpu.join()}, CPU ${cpu.join()}`);
    });
    check("the WebGPU library is unpacked once", unpacksOnce);
  } else {
    skip("prompt on the GPU, with the CPU's tokens", gpuMissing);
    skip("the WebGPU library is unpacked once", gpuMissing);
  }
}

try {
  main(process.argv[2] ?? fileURLToPath(new URL("../dist/arctic", import.meta.url)));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(` ${counts.pass} pass\n ${counts.fail} fail\n ${counts.skip} skip`);
process.exit(counts.fail === 0 ? 0 : 1);
