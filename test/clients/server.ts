/** `arctic serve` as a process of its own, for tests that meet it as its clients do. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defined } from "../../src/assert.ts";
import { environment } from "../cli/arctic.ts";

/** Builds dist/arctic where it is missing or older than its sources, and becomes it. */
const launcher = fileURLToPath(new URL("../../arctic", import.meta.url));

/** Of a busy machine, on which a few steps of the engine may take a second; a leak stays for ever. */
const SOON_MS = 5_000;

export interface ServerOptions {
  /** The program; by default the compiled one. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly backend?: "cpu" | "gpu";
  readonly env?: Readonly<Record<string, string>>;
}

export interface ServedProcess extends AsyncDisposable {
  /** Without a path. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly exited: Promise<number>;
  /** Standard error so far: what it says, and its log. */
  stderr(): string;
  stdout(): Promise<string>;
  /** Writes a line to its standard input. */
  tell(line: string): void;
  kill(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): void;
  /** Value of a series of /metrics, by its name with its labels. */
  metric(name: string): Promise<number>;
  /** Values of several, all of one moment. */
  metrics(...names: readonly string[]): Promise<number[]>;
  /** Waits until `name` is `value`. @throws Error where it is not after `most` milliseconds */
  metricIs(name: string, value: number, most?: number): Promise<void>;
}

/** The server with the embedded model on the CPU, once it says that it serves. */
export async function startServer(options: ServerOptions = {}): Promise<ServedProcess> {
  const { command = [launcher], args = [], backend = "cpu", env = {} } = options;
  const cache = mkdtempSync(join(tmpdir(), "arctic-served-"));
  const child = Bun.spawn([...command, "serve", "--port=0", `--backend=${backend}`, ...args], {
    env: environment({ XDG_CACHE_HOME: cache, HOME: cache, ...env }),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const exited = child.exited.finally(() => rmSync(cache, { recursive: true, force: true }));
  let text = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = async () => {
      const decoder = new TextDecoder();
      for await (const part of child.stderr) {
        text += decoder.decode(part, { stream: true });
        const found = / on (https?:\/\/\S+)\/v1 \(/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      }
      reject(new Error(`the server ended: ${text}`));
    };
    read().catch(reject);
  });
  const key = env["ARCTIC_API_KEY"];
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
  const metrics = async (...names: readonly string[]) => {
    const lines = (await (await fetch(`${url}/metrics`, { headers })).text()).split("\n");
    return names.map((name) => {
      const line = lines.find((line) => line.startsWith(`${name} `));
      return Number(defined(line, name).slice(name.length));
    });
  };
  const metric = async (name: string) => (await metrics(name))[0] ?? NaN;
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid,
    exited,
    stderr: () => text,
    stdout: () => child.stdout.text(),
    tell: (line) => {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    },
    kill: (signal) => child.kill(signal),
    metric,
    metrics,
    async metricIs(name, value, most = SOON_MS) {
      const start = performance.now();
      for (let found = await metric(name); found !== value; found = await metric(name)) {
        const waited = performance.now() - start;
        if (waited > most) throw new Error(`${name} is ${found} after ${waited} ms, not ${value}`);
        await Bun.sleep(2);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A conversation with one question for the embedded model. */
export const question = (content = "How many orders are there?") => [
  { role: "user" as const, content },
];

export const MODEL = "arctic-tiny-sql";

/** What the model answers to `question(content)`: the wire alone, without a client. */
export async function plainAnswer(
  { url }: ServedProcess,
  key = "none",
  content?: string,
): Promise<string> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: MODEL, messages: question(content) }),
  });
  const { choices } = await response.json() as { choices: { message: { content: string } }[] };
  return defined(choices[0], "a choice").message.content;
}
