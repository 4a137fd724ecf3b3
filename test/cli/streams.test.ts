/** What happens around a command: signals, closed streams, terminals, bare environments. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { synth } from "../../weights-manifest/synth.ts";
import { arctic, command, environment, shell, temporaryFolder, tinyConfig } from "./arctic.ts";

// Processes on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const folder = temporaryFolder();
const model = join(folder.path, "a model of ünusual name");
/** Without --max-tokens it outlives any test: the context has room for 32,768 tokens. */
const generate = [
  ...["prompt", "--backend", "cpu", "--model", model, "--tokens", "254,1,2", "--temperature", "0"],
];

beforeAll(async () => {
  await synth(tinyConfig, model, { seed: 3 });
});
afterAll(folder.remove);

/** Reads a stream in the background. */
class Reader {
  text = "";
  readonly ended: Promise<void>;
  #wake = () => {};

  constructor(stream: ReadableStream<Uint8Array>) {
    this.ended = this.#read(stream);
  }

  /** Resolves once the text so far satisfies the pattern, with what it matched. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    while (true) {
      const match = pattern.exec(this.text);
      if (match !== null) return match;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true });
      this.#wake();
    }
  }
}

function milliseconds(since: number): number {
  return performance.now() - since;
}

describe("interrupt", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("%s ends a generation with 130", async (signal) => {
    const child = Bun.spawn([...command, ...generate], {
      env: environment(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const stdout = new Reader(child.stdout);
    await stdout.until(/\d+ \d+ /);
    const start = performance.now();
    child.kill(signal);
    expect(await child.exited).toBe(130);
    // All that it may generate takes minutes.
    expect(milliseconds(start)).toBeLessThan(10_000);
    await stdout.ended;
    expect(stdout.text.endsWith("\n")).toBe(true);
    expect(await child.stderr.text()).toBe("");
  });

  test("while nobody reads the output", async () => {
    const ids = join(folder.path, "many.txt");
    writeFileSync(ids, Array.from({ length: 500 }, (_, i) => i % 250).join(" "));
    const score = ["score", "--backend=cpu", "--model", model, "--tokens-file", ids, "--top=all"];
    const exec = `sh -c 'echo "pid $$" >&2; exec "$@"' sh "$@" </dev/null 3<&-`;
    // Its reader waits for the test instead.
    const script = `exec 3<&0; { ${exec}; echo "code $?" >&2; } | { read -r _ <&3; }`;
    const child = Bun.spawn(
      ["sh", "-c", script, "sh", ...command, ...score],
      { env: environment(), stdin: "pipe", stdout: "ignore", stderr: "pipe" },
    );
    const stderr = new Reader(child.stderr);
    const pid = Number((await stderr.until(/pid (\d+)/))[1]);
    await Bun.sleep(500);
    expect(stderr.text).not.toContain("code");
    const start = performance.now();
    process.kill(pid, "SIGINT");
    expect((await stderr.until(/code (\d+)/))[1]).toBe("130");
    expect(milliseconds(start)).toBeLessThan(10_000);
    child.stdin.end();
    await child.exited;
  });

  test("a second one ends the process at once", async () => {
    const signals = new URL("../../src/cli/signals.ts", import.meta.url).href;
    const script = `
      const { onInterrupt } = await import(${JSON.stringify(signals)});
      const { signal } = onInterrupt(() => console.log("restored"));
      signal.addEventListener("abort", () => console.log("aborted"));
      setInterval(() => {}, 1000);
      console.log("ready");`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
    const stdout = new Reader(child.stdout);
    await stdout.until(/ready/);
    child.kill("SIGINT");
    await stdout.until(/aborted/);
    expect(child.exitCode).toBeNull();
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await stdout.ended;
    expect(stdout.text).toBe("ready\naborted\nrestored\n");
  });

  test("while standard input is awaited", async () => {
    const child = Bun.spawn([...command, "prompt", "-"], {
      env: environment(),
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    await Bun.sleep(200);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await child.stderr.text()).toBe("");
  });
});

describe("a terminal", () => {
  /** Runs a command on a pseudo-terminal and gives what it showed. */
  async function onTerminal(
    args: readonly string[],
    input?: (shown: string, child: Bun.Subprocess) => void,
  ): Promise<{ code: number; shown: string }> {
    let shown = "";
    const decoder = new TextDecoder();
    const child = Bun.spawn([...command, ...args], {
      env: environment({ TERM: "xterm" }),
      terminal: {
        cols: 80,
        rows: 24,
        data(_terminal, bytes) {
          shown += decoder.decode(bytes, { stream: true });
          input?.(shown, child);
        },
      },
    });
    const code = await child.exited;
    child.terminal?.close();
    return { code, shown };
  }

  test("Ctrl-C brings the cursor back", async () => {
    let sent = false;
    const { code, shown } = await onTerminal(
      ["bench", "--backend=cpu", "--model", model, "--prompt-tokens=8", "--gen-tokens=32000"],
      (text, child) => {
        if (sent || !text.includes("Warming up")) return;
        sent = true;
        child.terminal?.write("\x03");
      },
    );
    expect(code).toBe(130);
    expect(shown).toContain("\x1b[?25l");
    expect(shown.lastIndexOf("\x1b[?25h")).toBeGreaterThan(shown.lastIndexOf("\x1b[?25l"));
  });

  test("no prompt is wrong usage, not silence", async () => {
    const { code, shown } = await onTerminal(["prompt", "--model", model]);
    expect(code).toBe(2);
    expect(shown).toContain("There is no prompt.");
  });
});

describe("standard output", () => {
  test("closed by its reader: exit 0 and no complaint", async () => {
    const script = '{ "$@"; echo "code $?" >&2; } | head -c 3';
    const { stdout, stderr } = await shell(script, generate);
    expect(stdout).toHaveLength(3);
    expect(stderr).toBe("code 0\n");
  });

  const isTold = existsSync("/proc/self/fdinfo/1");
  if (!isTold) console.warn("skipped, there is no /proc: standard output closed before the start");
  test.skipIf(!isTold)("closed before the start: a failure at the first word", async () => {
    const { code, stderr } = await shell('"$@" >&-', generate);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "arctic: Standard output is closed: there is nowhere to write to. Direct it to a file, or to " +
        "/dev/null.\n",
    );
  });

  test("into nothing on purpose is no failure", async () => {
    for (const script of ['"$@" >/dev/null', '"$@" 1<>/dev/null']) {
      expect((await shell(script, [...generate, "--max-tokens=3"])).code).toBe(0);
    }
  });

  test("that cannot be written to", async () => {
    const { code, stderr } = await shell('"$@" 1</dev/null', generate);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arctic: Standard output cannot be written: EBADF.*\n$/);
  });

  if (!existsSync("/dev/full")) console.warn("skipped, there is no /dev/full: a full disk");
  test.skipIf(!existsSync("/dev/full"))("a full disk is a failure", async () => {
    const { code, stderr } = await shell('"$@" >/dev/full', ["inspect", model]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arctic: Standard output cannot be written: .*\n$/);
  });

  test("a slow reader gets everything", async () => {
    const ids = join(folder.path, "ids.txt");
    writeFileSync(ids, Array.from({ length: 200 }, (_, i) => i).join("\n"));
    const score = ["score", "--backend=cpu", "--model", model, "--tokens-file", ids, "--top=all"];
    const { stdout } = await shell('"$@" 2>/dev/null | (sleep 0.5; wc -l)', score);
    expect(stdout.trim()).toBe("200");
  });
});

describe("standard error", () => {
  test("a slow reader gets everything, also when the process ends", async () => {
    // More damaged tensors than a pipe holds lines about.
    const damaged = join(folder.path, "damaged");
    const small = { hidden_size: 32, intermediate_size: 32, num_attention_heads: 2 };
    const many = { num_hidden_layers: 8, num_local_experts: 64 };
    await synth({ ...tinyConfig, ...small, ...many }, damaged);
    for (const name of readdirSync(damaged).filter((each) => each.startsWith("experts"))) {
      const path = join(damaged, name);
      writeFileSync(path, readFileSync(path).fill(1));
    }
    const { stdout } = await shell('"$@" 2>&1 | (sleep 1.5; cat)', ["verify", damaged]);
    expect(stdout.length).toBeGreaterThan(65_536);
    expect(stdout.match(/^damaged: layers.*$/gm)).toHaveLength(8 * 64 * 2);
    expect(stdout).toEndWith("Copy or convert the model again.\n");
  });

  test("closed: the command goes on", async () => {
    const { code, stdout } = await shell('"$@" 2>&-', [...generate, "--max-tokens=3"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+ \d+ \d+\n$/);
  });
});

describe("standard input", () => {
  test("closed, or empty, is an empty prompt", async () => {
    for (const script of ['"$@" <&-', '"$@" </dev/null']) {
      const { code, stderr } = await shell(script, ["prompt", "--model", model]);
      expect(code).toBe(2);
      expect(stderr).toBe(
        "arctic: The prompt on standard input is empty. Give at least one character.\n",
      );
    }
  });

  test("is not touched when the prompt is given otherwise", async () => {
    const child = Bun.spawn([...command, ...generate, "--max-tokens=1"], {
      env: environment(),
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    });
    // It would wait for ever: nobody closes the pipe.
    expect(await child.exited).toBe(0);
  });

  test("that is not UTF-8, and that is too long", async () => {
    const prompt = ["prompt", "--backend=cpu", "--model", model];
    const broken = await shell(`printf '\\377' | "$@"`, prompt);
    expect([broken.code, broken.stderr]).toEqual([
      1,
      "arctic: Standard input is not UTF-8 text.\n",
    ]);
    const long = await shell('head -c 17000000 /dev/zero | "$@"', prompt);
    expect(long.code).toBe(1);
    expect(long.stderr).toContain("Standard input has more than 16777216 bytes.");
  });
});

describe("a bare environment", () => {
  test("LANG=C, no HOME, a folder that cannot be written", async () => {
    const bare = join(folder.path, "bare");
    mkdirSync(bare);
    chmodSync(bare, 0o555);
    const [plain, spare] = await Promise.all([
      arctic([...generate, "--max-tokens=4"]),
      arctic([...generate, "--max-tokens=4"], { env: { LANG: "C", LC_ALL: "C" }, cwd: bare }),
    ]);
    expect(spare.code).toBe(0);
    expect(spare.stdout).toBe(plain.stdout);
    expect((await arctic(["doctor", "--json"], { cwd: bare })).code).toBe(0);
  });

  test("NO_COLOR, and no colour into a file", async () => {
    expect((await arctic(["nothing"])).stderr).not.toContain("\x1b");
  });

  test("few open files", async () => {
    const { code, stdout } = await shell('ulimit -n 64; "$@"', [...generate, "--max-tokens=2"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+ \d+\n$/);
  });
});
