/** Every command as a process, on a tiny random model. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { synth } from "../../weights-manifest/synth.ts";
import { commands } from "../../src/cli/commands.ts";
import { tinyModel, writeCheckpoint } from "../golden/tiny-model.ts";
import { arctic, temporaryFolder, tinyConfig } from "./arctic.ts";

// Processes on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const folder = temporaryFolder();
const model = join(folder.path, "model");
const cpu = ["--backend", "cpu", "--model", model];

beforeAll(async () => {
  await synth(tinyConfig, model, { seed: 3 });
});
afterAll(folder.remove);

describe("help and version", () => {
  test("--version", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    expect(await arctic(["--version"])).toEqual({
      code: 0,
      stdout: `arctic ${version}\n`,
      stderr: "",
    });
  });

  test.each(["", ...Object.keys(commands)])("--help %s", async (name) => {
    const { code, stdout, stderr } = await arctic(name === "" ? ["--help"] : [name, "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`Usage: arctic ${name === "" ? "COMMAND" : name}`);
  });
});

describe("exit codes", () => {
  test("2 and one line with a hint for wrong usage", async () => {
    const { code, stdout, stderr } = await arctic(["prompt", "--modle", "x"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(
      "arctic: `arctic prompt` has no flag --modle. Did you mean `--model`? " +
        "See `arctic prompt --help`.\n",
    );
  });

  test("1 and one line for a folder that is not there, its name made harmless", async () => {
    const missing = join(folder.path, "no\x1b[31m\nmodel");
    for (const name of ["inspect", "verify"]) {
      const { code, stdout, stderr } = await arctic([name, missing]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain("no\\x1b[31m\\x0amodel");
      expect(stderr.split("\n")).toHaveLength(2);
      expect(stderr).not.toContain("\x1b");
    }
  });

  test("1 for a prompt that the model cannot take", async () => {
    const { code, stderr } = await arctic(["prompt", ...cpu, "--tokens", "1,256"]);
    expect(code).toBe(1);
    expect(stderr).toContain("Token 256 at position 1");
  });

  test("2 for text without a tokenizer", async () => {
    const prompt = await arctic(["prompt", ...cpu, "hello"]);
    expect(prompt.code).toBe(2);
    expect(prompt.stderr).toContain("use --tokens");
    const stop = await arctic(["prompt", ...cpu, "--tokens=1", "--stop=x"]);
    expect(stop.code).toBe(2);
    expect(stop.stderr).toContain("--stop");
  });
});

describe("prompt", () => {
  const greedy = ["prompt", ...cpu, "--tokens", "254,1,2,3", "--temperature", "0"];

  test("prints ids where there is no tokenizer, the same every time", async () => {
    const first = await arctic([...greedy, "--max-tokens", "8"]);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^\d+( \d+){7}\n$/);
    expect((await arctic([...greedy, "--max-tokens", "8"])).stdout).toBe(first.stdout);
    expect(first.stderr).toMatch(/^prompt 4 tokens, .* tok\/s; generated 8 tokens, .* tok\/s\n$/);
  });

  test("--json prints one document and nothing else", async () => {
    const plain = await arctic([...greedy, "--max-tokens", "5"]);
    const { code, stdout } = await arctic([...greedy, "--max-tokens=5", "--json"]);
    expect(code).toBe(0);
    expect(stdout.endsWith("}\n")).toBe(true);
    const document = JSON.parse(stdout);
    expect(Object.keys(document)).toEqual(["text", "tokens", "finish_reason", "usage", "timings"]);
    expect(document.text).toBe("");
    expect(document.tokens.join(" ")).toBe(plain.stdout.trim());
    expect(document.finish_reason).toBe("length");
    expect(document.usage).toEqual({ prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 });
    for (const key of ["prefill_ms", "decode_ms", "decode_tokens_per_second"]) {
      expect(document.timings[key]).toBeGreaterThan(0);
    }
  });

  test("a seed repeats a random text, and an unseeded one tells its seed", async () => {
    const random = ["prompt", ...cpu, "--tokens=254", "--max-tokens=12", "--temperature=2"];
    const first = await arctic(random);
    const seed = /; seed (\d+)\n$/.exec(first.stderr)?.[1] ?? "";
    expect(seed).not.toBe("");
    expect((await arctic([...random, "--seed", seed])).stdout).toBe(first.stdout);
    expect((await arctic([...random, "--seed", `${Number(seed) + 1}`])).stdout)
      .not.toBe(first.stdout);
  });

  test("every flag from the environment is the flag", async () => {
    const flags = await arctic([...greedy, "--max-tokens=6", "--json"]);
    const variables = await arctic(["prompt"], {
      env: {
        ARCTIC_MODEL: model,
        ARCTIC_BACKEND: "cpu",
        ARCTIC_TOKENS: "254 1 2 3",
        ARCTIC_TEMPERATURE: "0",
        ARCTIC_MAX_TOKENS: "6",
        ARCTIC_JSON: "1",
      },
    });
    expect(JSON.parse(variables.stdout).tokens).toEqual(JSON.parse(flags.stdout).tokens);
  });

  test("--backend auto says what it runs on", async () => {
    const { code, stderr } = await arctic([
      ...["prompt", "--model", model, "--tokens=1", "--max-tokens=1", "--temperature=0"],
    ]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Running on the (GPU|CPU) backend: .+\.$/m);
  });
});

describe("score", () => {
  const ids = join(folder.path, "ids.txt");
  writeFileSync(ids, "254, 7\n9 11\t13");

  interface Line {
    readonly pos: number;
    readonly token: number;
    readonly logprob: number | null;
    readonly next: readonly (readonly [number, number])[];
  }

  async function score(...args: string[]): Promise<{ lines: Line[]; stderr: string }> {
    const { code, stdout, stderr } = await arctic(["score", ...cpu, "--tokens-file", ids, ...args]);
    expect(code).toBe(0);
    return { lines: stdout.trimEnd().split("\n").map((line) => JSON.parse(line)), stderr };
  }

  test("--top all is a distribution, and logprob is found in the line before", async () => {
    const { lines, stderr } = await score("--top", "all");
    expect(lines.map((line) => line.token)).toEqual([254, 7, 9, 11, 13]);
    expect(lines.map((line) => line.pos)).toEqual([0, 1, 2, 3, 4]);
    let sum = 0;
    for (const [i, { logprob, next }] of lines.entries()) {
      expect(new Set(next.map(([id]) => id)).size).toBe(256);
      expect(next.reduce((mass, [, p]) => mass + Math.exp(p), 0)).toBeCloseTo(1, 5);
      expect(next.every(([, p], k) => k === 0 || p <= (next[k - 1]?.[1] ?? 0))).toBe(true);
      const before = lines[i - 1];
      if (before === undefined) expect(logprob).toBeNull();
      else {
        const expected = before.next.find(([id]) => id === lines[i]?.token)?.[1];
        expect(logprob).toBe(expected ?? NaN);
        sum += logprob ?? 0;
      }
    }
    const mean = Number(/mean negative log-likelihood: ([\d.]+)/.exec(stderr)?.[1]);
    expect(mean).toBeCloseTo(-sum / 4, 5);
    expect(stderr).toContain("tokens: 5\n");
    expect(Number(/perplexity: ([\d.]+)/.exec(stderr)?.[1])).toBeCloseTo(Math.exp(mean), 2);
  });

  test("--top K is the beginning of --top all", async () => {
    const all = (await score("--top", "all")).lines;
    const some = (await score("--top", "3")).lines;
    expect(some.map((line) => line.next)).toEqual(all.map((line) => line.next.slice(0, 3)));
    expect((await score("--top", "0")).lines.every((line) => line.next.length === 0)).toBe(true);
  });

  test("a file that holds something else than ids", async () => {
    const path = join(folder.path, "words.txt");
    writeFileSync(path, "1 2 three");
    const { code, stderr } = await arctic(["score", ...cpu, "--tokens-file", path]);
    expect(code).toBe(1);
    expect(stderr).toContain("`three` as token 3");
  });

  test("standard input is `-`", async () => {
    const { lines } = await score();
    const piped = await arctic(["score", ...cpu, "--tokens-file", "-"], { stdin: "254 7 9 11 13" });
    expect(piped.stdout).toBe(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  });
});

describe("model folders", () => {
  test("synth, inspect and verify", async () => {
    const config = join(folder.path, "config.json");
    writeFileSync(config, JSON.stringify(tinyConfig));
    const out = join(folder.path, "made");
    const made = await arctic(["synth", config, out, "--seed", "3", "--json"]);
    expect(made.code).toBe(0);
    const inspected = JSON.parse((await arctic(["inspect", out, "--json"])).stdout);
    expect(inspected.parameters).toBe(JSON.parse(made.stdout).parameters);
    // 2 layers x 8 experts x 3 matrices of 64 x 96, of which a token uses 2 of 8.
    const idle = 2 * 6 * 3 * 64 * 96;
    expect(inspected.parameters - inspected.active_parameters).toBe(idle);
    expect(inspected.config.hidden_size).toBe(64);
    expect(inspected.bytes).toBeGreaterThan(inspected.parameters);

    const sound = JSON.parse((await arctic(["verify", out, "--json"])).stdout);
    expect([sound.sound, sound.damaged]).toEqual([true, []]);
    const file = join(out, inspected.shards[1].name);
    const bytes = readFileSync(file);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const damaged = await arctic(["verify", out]);
    expect([damaged.code, damaged.stdout]).toEqual([1, ""]);
    expect(damaged.stderr).toContain("damaged: layers.0.experts.0.gate_up: Its SHA-256 differs");
  });

  test("inspect --tensors lists every tensor once, with its scales", async () => {
    const { tensors } = JSON.parse(
      (await arctic(["inspect", model, "--tensors", "--json"])).stdout,
    );
    const text = (await arctic(["inspect", model, "--tensors"])).stdout;
    expect(tensors.length).toBe(3 + 2 * 8 + 2 * 8 * 2);
    for (const { name, dtype, scales } of tensors) {
      expect(text.split("\n").filter((line) => line.startsWith(`${name} `))).toHaveLength(1);
      expect(scales === null).toBe(dtype !== "e4m3");
      if (scales !== null) expect(Number.isInteger(Math.log2(scales.min))).toBe(true);
    }
  });

  test("convert refuses a tokenizer that cannot be loaded before it writes anything", async () => {
    const source = join(folder.path, "bad tokenizer");
    writeCheckpoint(tinyModel(), source);
    const hostile = { version: "1.0", model: { type: "BPE", vocab: { a: 1e9 }, merges: [] } };
    for (
      const [name, text] of [
        ["tokenizer.json", JSON.stringify(hostile)],
        ["tokenizer.model", "\xff\xff\xff\xff"],
      ] as const
    ) {
      writeFileSync(join(source, name), text);
      const out = join(folder.path, "never");
      const { code, stderr } = await arctic(["convert", source, out]);
      expect(code).toBe(1);
      expect(stderr).toContain(name);
      expect(existsSync(out)).toBe(false);
      rmSync(join(source, name));
    }
  });

  test("convert refuses what is no checkpoint and leaves no model behind", async () => {
    const out = join(folder.path, "converted");
    const { code, stderr } = await arctic(["convert", join(folder.path, "nothing"), out]);
    expect(code).toBe(1);
    expect(stderr).toContain("nothing");
    expect(existsSync(join(out, "manifest.msgpack"))).toBe(false);
  });
});

describe("bench", () => {
  test("--json has the rates and what they are made of", async () => {
    const { code, stdout, stderr } = await arctic(
      ["bench", ...cpu, "--prompt-tokens=8", "--gen-tokens=4", "--repeat=2", "--json"],
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    for (const key of ["prefill_tokens_per_second", "decode_tokens_per_second", "load_ms"]) {
      expect(result[key]).toBeGreaterThan(0);
    }
    expect(result.adapter).not.toBe("");
    expect(result.backend).toBe("cpu");
    const inspected = JSON.parse((await arctic(["inspect", model, "--json"])).stdout);
    expect(result.weight_bytes_per_token).toBe(inspected.weight_bytes_per_token);
    expect(stderr.match(/^run \d: /gm)).toHaveLength(2);
  });

  test("a context that is too short", async () => {
    const { code, stderr } = await arctic(["bench", ...cpu, "--prompt-tokens", "32768"]);
    expect(code).toBe(1);
    expect(stderr).toContain("do not fit the model's context of 32768 tokens");
  });
});

describe("doctor", () => {
  test("--json tells the machine, and either an adapter or how to get one", async () => {
    const { code, stdout } = await arctic(["doctor", "--json"]);
    const report = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(report.machine.bun).toBe(Bun.version);
    expect(report.machine.memory_bytes).toBeGreaterThan(0);
    if (report.adapter === null) expect(report.problems[0].remedy.length).toBeGreaterThan(0);
    else expect(report.adapter.limits.maxBufferSize).toBeGreaterThan(0);
  });

  test("without a driver: --backend gpu fails and says what to install", async () => {
    // An empty list of drivers is what a machine without one looks like to the Vulkan loader.
    const env = { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" };
    const { code, stdout } = await arctic(["doctor", "--json", "--backend", "gpu"], { env });
    const report = JSON.parse(stdout);
    expect([code, report.adapter, report.backend]).toEqual([1, null, "cpu"]);
    expect(report.problems[0].remedy.join("\n")).toMatch(/vulkan/i);

    const prompt = ["prompt", "--model", model, "--tokens=1", "--max-tokens=1", "--temperature=0"];
    const auto = await arctic(prompt, { env });
    expect(auto.code).toBe(0);
    expect(auto.stderr).toContain("Running on the CPU backend");
    const gpu = await arctic([...prompt, "--backend=gpu"], { env });
    expect([gpu.code, gpu.stdout]).toEqual([1, ""]);
  });
});
