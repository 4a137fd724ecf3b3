import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
} from "node:fs";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { convert, type ConvertOptions } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { xorshift } from "./numbers.ts";
import {
  folderBytes,
  huggingFaceShapes,
  packTensors,
  refusal,
  removeTemporary,
  safetensors,
  temporary,
  tinyCheckpoint,
  tinyConfig,
  tinyTensors,
} from "./support.ts";

afterAll(removeTemporary);

const small: ConvertOptions = { shardBytes: 2048 };

async function clean(source: string, options: ConvertOptions = {}): Promise<Map<string, string>> {
  const folder = join(temporary(), "clean");
  await convert(source, folder, options);
  return folderBytes(folder);
}

/** A program that converts; it is killed from outside. */
function converter(source: string, output: string, options: ConvertOptions): string[] {
  const module = fileURLToPath(new URL("../../weights-manifest/convert.ts", import.meta.url));
  const program = `
    const { convert } = await import(${JSON.stringify(module)});
    try {
      await convert(${JSON.stringify(source)}, ${JSON.stringify(output)}, ${
    JSON.stringify(options)
  });
    } catch (error) {
      console.error(error.code + ": " + error.message);
      process.exit(error.exit ?? 9);
    }`;
  return [process.execPath, "-e", program];
}

describe("killed", () => {
  for (const workers of [0, 2]) {
    test(`at random moments, ${workers} threads: the result is that of a clean run`, async () => {
      const seed = Number(process.env["ARCTIC_TEST_SEED"] ?? Date.now() % 100_000);
      const random = xorshift(seed);
      const changes = { hidden_size: 256, intermediate_size: 512, num_local_experts: 24 };
      const source = tinyCheckpoint(changes, { files: 2 });
      const options = { shardBytes: 400_000, workers };
      const start = performance.now();
      const expected = await clean(source, options);
      const whole = performance.now() - start;
      const folder = join(temporary(), "killed");
      let kills = 0;
      let resumed = 0;
      // Half of the time that a whole run takes, so that most kills meet it at work.
      let span = Math.ceil(whole / 2);
      for (let run = 0; run < 6 && !existsSync(join(folder, "manifest.msgpack")); run++) {
        const child = Bun.spawn(converter(source, folder, options), { stderr: "pipe" });
        const since = Date.now();
        // Counted from the first file on, or most kills would hit the start of the program.
        while (child.exitCode === null && !touched(folder, since)) await Bun.sleep(1);
        await Bun.sleep(random() % span);
        child.kill("SIGKILL");
        if (await child.exited === 137) kills++;
        else if (kills === 0) {
          // The machine was busier when it was measured.
          rmSync(folder, { recursive: true });
          span = Math.ceil(span / 4);
        }
        const shards = existsSync(folder) ? readdirSync(folder).filter(isShard) : [];
        if (shards.length > 0) resumed++;
        if (!existsSync(join(folder, "manifest.msgpack"))) {
          expect(() => openModel(folder)).toThrow();
        }
      }
      if (!existsSync(join(folder, "manifest.msgpack"))) await convert(source, folder, options);
      console.log(
        `seed ${seed}: ${kills} kills, ${resumed} with finished shards; ${whole.toFixed()} ms in all`,
      );
      expect(kills).toBeGreaterThan(0);
      expect(withoutState(folderBytes(folder))).toEqual(expected);
    }, 60_000);
  }
});

const isShard = (name: string) => name.endsWith(".bin");

/** Whether anything in a folder has changed since a time. */
function touched(folder: string, since: number): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder).some((name) => {
    const stats = statSync(join(folder, name), { throwIfNoEntry: false });
    return stats !== undefined && stats.ctimeMs > since;
  });
}

/** A kill after the manifest may leave the state behind; the next run removes it. */
function withoutState(files: Map<string, string>): Map<string, string> {
  files.delete("convert-state.msgpack");
  return files;
}

test("stopped after every single tensor: each run goes on, the result is that of a clean run", async () => {
  const source = tinyCheckpoint();
  const expected = await clean(source, small);
  const folder = join(temporary(), "stopped");
  let runs = 0;
  for (let done = false; !done; runs++) {
    const stop = new AbortController();
    let events = 0;
    // One shard holds several tensors, so a run must finish one to get anywhere.
    const onProgress = () => ++events > 6 && stop.abort();
    try {
      await convert(source, folder, { ...small, onProgress, signal: stop.signal });
      done = true;
    } catch (error) {
      expect(error).toMatchObject({ code: "engine_aborted", exit: 130 });
      expect(() => openModel(folder)).toThrow("is no model folder");
    }
    expect(runs).toBeLessThan(40);
  }
  expect(runs).toBeGreaterThan(2);
  expect(folderBytes(folder)).toEqual(expected);
});

describe("what an earlier run left", () => {
  /** A conversion that stopped after some shards. */
  async function started(source: string): Promise<string> {
    const folder = join(temporary(), "started");
    const stop = new AbortController();
    const onProgress = () => readdirSync(folder).filter(isShard).length > 2 && stop.abort();
    const run = () => convert(source, folder, { ...small, onProgress, signal: stop.signal });
    await refusal("engine_aborted", run);
    return folder;
  }

  test("finished shards are kept", async () => {
    const source = tinyCheckpoint();
    const folder = await started(source);
    const times = readdirSync(folder).filter(isShard).map((
      n,
    ) => [n, statSync(join(folder, n)).mtimeMs]);
    const { resumed } = await convert(source, folder, small);
    expect(resumed).toBe(true);
    for (const [name, time] of times) {
      expect(statSync(join(folder, String(name))).mtimeMs).toBe(Number(time));
    }
    expect(folderBytes(folder)).toEqual(await clean(source, small));
  });

  const spoil: [string, (folder: string, source: string) => void][] = [
    ["a shard is gone", (folder) => rmSync(join(folder, "dense-00002.bin"))],
    ["a shard is cut off", (folder) => writeFileSync(join(folder, "dense-00001.bin"), "x")],
    ["the state is gone", (folder) => rmSync(join(folder, "convert-state.msgpack"))],
    [
      "the state is nonsense",
      (folder) => writeFileSync(join(folder, "convert-state.msgpack"), "{}"),
    ],
    [
      "a partial file is left",
      (folder) => writeFileSync(join(folder, "dense-00009.bin.partial"), "x"),
    ],
    [
      "the source has changed",
      (_, source) => {
        const tensors = tinyTensors(tinyConfig, { seed: 77 });
        writeFileSync(join(source, "model.safetensors"), packTensors(tensors));
      },
    ],
    ["the source was touched", (_, source) => utimesSync(join(source, "model.safetensors"), 1, 1)],
    [
      "the configuration has changed",
      (_, source) =>
        writeFileSync(
          join(source, "config.json"),
          JSON.stringify({ ...tinyConfig, rope_theta: 7 }),
        ),
    ],
  ];
  for (const [what, change] of spoil) {
    test(what, async () => {
      const source = tinyCheckpoint();
      const folder = await started(source);
      change(folder, source);
      await convert(source, folder, small);
      expect(folderBytes(folder)).toEqual(await clean(source, small));
    });
  }

  test("only the state, after a complete manifest: the run is done", async () => {
    const source = tinyCheckpoint();
    const folder = await started(source);
    const state = Bun.file(join(folder, "convert-state.msgpack"));
    const bytes = await state.bytes();
    await convert(source, folder, small);
    const expected = folderBytes(folder);
    writeFileSync(join(folder, "convert-state.msgpack"), bytes);
    expect((await convert(source, folder, small)).resumed).toBe(true);
    expect(folderBytes(folder)).toEqual(expected);
  });

  test("a source that changes during the run", async () => {
    const source = tinyCheckpoint();
    const folder = join(temporary(), "changing");
    const onProgress = () => utimesSync(join(source, "model.safetensors"), 5, 5);
    await refusal("weights_source_changed", () => convert(source, folder, { onProgress }));
    expect(() => openModel(folder)).toThrow("is no model folder");
    await convert(source, folder);
    openModel(folder).close();
  });
});

describe("a full disk", () => {
  const source = tinyCheckpoint({ hidden_size: 96, intermediate_size: 256, vocab_size: 300 });

  test("is foreseen: nothing is written, the missing bytes are named", async () => {
    const folder = join(temporary(), "m");
    const run = () => convert(source, folder, { freeBytes: () => 1000 });
    const message = await refusal("disk_full", run);
    const [need = 0, free = 0, missing = 0] = [...message.matchAll(/(\d+) (?:bytes )?are/g)]
      .map((match) => Number(match[1]));
    expect(free).toBe(1000);
    expect(missing).toBe(need - 1000);
    expect(readdirSync(folder)).toEqual(["convert-state.msgpack"]);
  });

  /** Mounts a file system of 300 KB. */
  function mountSmall(folder: string): boolean {
    mkdirSync(folder);
    return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder]).success;
  }

  function unmount(folder: string): void {
    Bun.spawnSync(["umount", "-l", folder]);
  }

  const probe = join(temporary(), "probe");
  const canMount = process.platform === "linux" && process.getuid?.() === 0 && mountSmall(probe);
  if (canMount) unmount(probe);
  else console.warn("skipped, no tmpfs can be mounted here: a full disk is met");

  for (const workers of [0, 2]) {
    test.skipIf(!canMount)(
      `is met, ${workers} threads: partial files go, finished shards stay, room lets it go on`,
      async () => {
        const mounted = join(temporary(), "small");
        expect(mountSmall(mounted)).toBe(true);
        try {
          const folder = join(mounted, "m");
          const options = { shardBytes: 60_000, workers, freeBytes: () => 1e9 };
          const message = await refusal("disk_full", () => convert(source, folder, options));
          expect(message).toMatch(/so [1-9]\d* bytes are missing/);
          const names = readdirSync(folder);
          expect(names.filter((name) => name.endsWith(".partial"))).toEqual([]);
          expect(names.filter(isShard).length).toBeGreaterThan(0);
          expect(() => openModel(folder)).toThrow("is no model folder");
          expect(Bun.spawnSync(["mount", "-o", "remount,size=8m", mounted]).success).toBe(true);
          expect((await convert(source, folder, options)).resumed).toBe(true);
          expect(folderBytes(folder)).toEqual(await clean(source, options));
        } finally {
          unmount(mounted);
        }
      },
    );
  }

  test("as a limit on file sizes: exit 1 with a sentence, not a signal", async () => {
    const folder = join(temporary(), "m");
    const [bun = "", flag = "", program = ""] = converter(source, folder, {});
    const shell = 'ulimit -f 20; exec "$0" "$1" "$2"';
    const child = Bun.spawn(["sh", "-c", shell, bun, flag, program], { stderr: "pipe" });
    expect(await child.exited).toBe(1);
    const said = await new Response(child.stderr).text();
    expect(said).toMatch(/^disk_full: .*ulimit -f.*bytes\.\n$/);
    expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

test("memory stays bounded: a source of 200 MB in less than 200 MB, threads included", async () => {
  const folder = temporary();
  const changes = { ...tinyConfig, hidden_size: 1024, intermediate_size: 2816, vocab_size: 16_000 };
  const config = {
    ...changes,
    num_hidden_layers: 1,
    num_local_experts: 8,
    bos_token_id: 1,
    eos_token_id: 2,
  };
  // All zeros, sparse on disk: memory is what is measured.
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const [name, shape] of huggingFaceShapes(config)) {
    const bytes = shape.reduce((a, b) => a * b, 2);
    header[name] = { dtype: "BF16", shape, data_offsets: [at, at += bytes] };
  }
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const start = safetensors(JSON.stringify(header));
  writeFileSync(join(folder, "model.safetensors"), start);
  truncateSync(join(folder, "model.safetensors"), start.length + at);
  expect(at).toBeGreaterThan(190e6);
  const [bun = "", flag = "", program = ""] = converter(folder, join(temporary(), "m"), {
    workers: 2,
  });
  const report = `
    const { readFileSync } = await import("node:fs");
    console.log(/VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);`;
  const child = Bun.spawn([bun, flag, program + report], { stdout: "pipe" });
  expect(await child.exited).toBe(0);
  const kilobytes = Number(await new Response(child.stdout).text());
  expect(kilobytes).toBeGreaterThan(10_000);
  expect(kilobytes).toBeLessThan(200_000);
});
