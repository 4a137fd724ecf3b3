/** The server as a process: what it listens on, what it answers, and how it ends. */

import { afterEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ownTime } from "../support/own-time.ts";
import { until } from "../support/until.ts";
import { arctic, command, environment, temporaryFolder } from "./arctic.ts";

interface Server {
  readonly url: string;
  readonly child: ReturnType<typeof start>;
  /** Standard error so far. */
  stderr(): string;
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return Bun.spawn([...command, "serve", "--port=0", "--backend=cpu", ...args], {
    env: environment(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

const running: ReturnType<typeof start>[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
});

/** A server with the embedded model, once it says that it serves. */
async function serve(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const child = start(args, env);
  running.push(child);
  let text = "";
  const url = await new Promise<string>((resolve, reject) => {
    (async () => {
      const decoder = new TextDecoder();
      for await (const part of child.stderr) {
        text += decoder.decode(part, { stream: true });
        const found = / on (https?:\/\/\S+)\/v1 \(/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      }
      reject(new Error(`the server ended: ${text}`));
    })();
  });
  return { url, child, stderr: () => text };
}

const chat = (more: Readonly<Record<string, unknown>> = {}) => ({
  method: "POST",
  headers: { "content-type": "application/json", authorization: "Bearer canary-key" },
  body: JSON.stringify({
    model: "arctic-tiny-sql",
    messages: [{ role: "user", content: "How many orders are there?" }],
    ...more,
  }),
});
const endless = chat({ stream: true, max_tokens: -1, ignore_eos: true });

/** Reads a stream until it has begun; the rest comes with `rest`. */
async function begun(answer: Response): Promise<{ rest(): Promise<string> }> {
  const reader = answer.body?.getReader();
  if (reader === undefined) throw new Error("no stream");
  const first = await reader.read();
  const decoder = new TextDecoder();
  let text = decoder.decode(first.value, { stream: true });
  return {
    async rest() {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        text += decoder.decode(part.value, { stream: true });
      }
      return text;
    },
  };
}

describe("a server", () => {
  test("says where it is, answers, and ends on SIGTERM with 0", async () => {
    const { url, child, stderr } = await serve();
    expect(stderr()).toMatch(
      /^arctic \d+\.\d+\.\d+ serves arctic-tiny-sql on http:\/\/127\.0\.0\.1:\d+\/v1 \(.+\)$/m,
    );
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const answer = await (await fetch(`${url}/v1/chat/completions`, chat())).json();
    expect(answer).toMatchObject({
      model: "arctic-tiny-sql",
      choices: [{ message: { content: "SELECT COUNT(*) FROM orders" }, finish_reason: "stop" }],
    });
    const long = chat({ messages: [{ role: "user", content: "orders ".repeat(40_000) }] });
    const refused = await fetch(`${url}/v1/chat/completions`, long);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { code: "context_length_exceeded" } });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  test("a response format is kept to, across three threads", async () => {
    const { url } = await serve();
    const answer = await fetch(
      `${url}/v1/chat/completions`,
      chat({
        max_tokens: 40,
        response_format: {
          type: "json_schema",
          json_schema: {
            name: "n",
            schema: {
              type: "object",
              properties: { n: { enum: [1, 2] } },
              required: ["n"],
              additionalProperties: false,
            },
          },
        },
      }),
    );
    const { choices } = await answer.json() as { choices: { message: { content: string } }[] };
    expect([1, 2]).toContain(JSON.parse(choices[0]?.message.content ?? "null").n);
  });

  test("SIGTERM ends a stream that outlives --drain-seconds with an error event", async () => {
    const { url, child } = await serve(["--drain-seconds=1"]);
    const stream = await begun(await fetch(`${url}/v1/chat/completions`, endless));
    child.kill("SIGTERM");
    const text = await stream.rest();
    expect(text).toContain('"code":"not_ready"');
    expect(await child.exited).toBe(0);
  });

  test("SIGINT lets a short answer finish", async () => {
    const { url, child } = await serve();
    const request = chat({ stream: true, max_tokens: 200, ignore_eos: true });
    const stream = await begun(await fetch(`${url}/v1/chat/completions`, request));
    child.kill("SIGINT");
    expect(await stream.rest()).toEndWith("data: [DONE]\n\n");
    expect(await child.exited).toBe(0);
  });

  test("a second signal ends it at once", async () => {
    const { url, child, stderr } = await serve();
    const stream = await begun(await fetch(`${url}/v1/chat/completions`, endless));
    child.kill("SIGINT");
    // Two signals of a kind at once are one.
    await until(() => stderr().includes("Ending: "));
    const start = performance.now();
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(performance.now() - start).toBeLessThan(5_000);
    // Until here somebody has held on to the stream: collected, it would have been a client that left.
    await stream.rest().catch(() => {});
  });

  test("asks for a key of the environment or of a file, and shows none", async () => {
    const folder = temporaryFolder();
    const file = join(folder.path, "keys");
    writeFileSync(file, "\ncanary-file-key\r\n\n");
    const { url, child, stderr } = await serve(["--api-key-file", file, "--log-level=debug"], {
      ARCTIC_API_KEY: "canary-key",
    });
    const status = async (key: string) =>
      (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect([await status("canary-key"), await status("canary-file-key")]).toEqual([200, 200]);
    expect(await status("other")).toBe(401);
    child.kill("SIGTERM");
    await child.exited;
    expect(stderr()).not.toContain("canary");
    folder.remove();
  });
});

describe("refused", () => {
  test("a port in use: one sentence, 1, within a second, no weights touched", async () => {
    const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const child = start([`--port=${other.port}`, "--model=there-is-none"]);
    running.push(child);
    const said = Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    const { value: [code, stdout, stderr], own } = await ownTime(said, [child.pid]);
    await other.stop(true);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^arctic: Port \d+ of 127\.0\.0\.1 is in use\. .+\n$/);
    expect(own).toBeLessThan(1_000);
  });

  test.each([
    [["--host=0.0.0.0"], "ARCTIC_API_KEY"],
    [["--host=::"], "--insecure"],
    [["--host=127.0.0.1.example"], "--insecure"],
    [["--tls-cert=x"], "--tls-cert and --tls-key"],
    [["--port=99999"], "--port must be"],
    [["--nonsense"], "no flag --nonsense"],
    [["text"], "no use for the argument"],
  ])("%j with exit code 2 and a hint", async (args, hint) => {
    const { code, stdout, stderr } = await arctic(["serve", "--backend=cpu", ...args]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(hint);
  });

  test("files that are no certificate and no key", async () => {
    const folder = temporaryFolder();
    const file = join(folder.path, "file.pem");
    writeFileSync(file, "no PEM");
    const args = ["serve", "--port=0", `--tls-cert=${file}`, `--tls-key=${file}`];
    const { code, stderr } = await arctic(args);
    expect([code, stderr]).toEqual([2, expect.stringContaining("both in PEM")]);
    folder.remove();
  });

  test("a key file without a key that could be sent", async () => {
    const folder = temporaryFolder();
    const file = join(folder.path, "keys");
    for (const content of ["\n", "canary key\n"]) {
      writeFileSync(file, content);
      const { code, stderr } = await arctic(["serve", "--port=0", "--api-key-file", file]);
      expect(code).toBe(2);
      expect(stderr).toContain("one in each line");
      expect(stderr).not.toContain("canary");
    }
    folder.remove();
  });

  test("a model that is not there: its own sentence, and 1", async () => {
    const { code, stderr } = await arctic(["serve", "--port=0", "--model=there-is-none"]);
    expect(code).toBe(1);
    expect(stderr).toContain("there-is-none");
  });
});

describe("bench serve", () => {
  const load = [
    "bench",
    "serve",
    "--streams=2",
    "--prompt-tokens=4",
    "--gen-tokens=6",
    "--arrival-tokens=20",
    "--json",
  ];

  function check(stdout: string) {
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ streams: 2, prompt_tokens: 4, arrival_tokens: 20 });
    expect(result.one_stream_tokens_per_second).toBeGreaterThan(0);
    expect(result.batching_ratio)
      .toBeCloseTo(result.all_streams_tokens_per_second / result.one_stream_tokens_per_second, 6);
    for (const key of ["gap_ms", "gap_with_arrival_ms", "first_token_ms"]) {
      expect(result[key].p95).toBeGreaterThanOrEqual(result[key].p50);
    }
    return result;
  }

  test("with the engine in its own process", async () => {
    const { code, stdout } = await arctic([...load, "--backend=cpu"]);
    expect(code).toBe(0);
    expect(check(stdout).queue_ms.p50).toBeGreaterThanOrEqual(0);
  });

  test("over HTTP", async () => {
    const { url } = await serve();
    const { code, stdout } = await arctic([
      ...load,
      `--url=${url}/v1`,
      "--served-model-name=arctic-tiny-sql",
    ]);
    expect(code).toBe(0);
    expect(check(stdout).queue_ms).toBeNull();
  });
});
