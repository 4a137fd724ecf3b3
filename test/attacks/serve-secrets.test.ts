/**
 * RELIABILITY rows 99 to 103 on the compiled program: what clients tell it reaches no log, no metric
 * and no other client, whatever goes wrong.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { MODEL, type ServedProcess, startServer } from "../clients/server.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const KEY = "canary-key-5b1f";
/** In prompts, names, schemas and tools. */
const WORD = "canaryword7c2e";

let server: ServedProcess;
const answers: string[] = [];
beforeAll(async () => {
  server = await startServer({ env: { ARCTIC_API_KEY: KEY } });
  await everyKindOfRequest();
});
afterAll(() => server[Symbol.asyncDispose]());

async function ask(path: string, body: string | object, headers: Record<string, string> = {}) {
  const response = await fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}`, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

/** Requests that succeed, fail, and fail in ways that quote what was sent. */
async function everyKindOfRequest(): Promise<void> {
  const chat = "/v1/chat/completions";
  const messages = [{ role: "user", content: `How many orders has ${WORD}?` }];
  const good = { model: MODEL, messages, max_tokens: 8 };
  const schema = {
    type: "object",
    properties: { [WORD]: { type: "string", pattern: `(${WORD}` } },
  };
  const tools = [{ type: "function", function: { name: `${WORD} !`, parameters: {} } }];
  // The answer to these may hold the prompt: it is the client's own.
  await ask(chat, good);
  await ask(chat, { ...good, stream: true });
  await ask("/tokenize", { messages });
  const refused = [
    await ask(chat, `{"messages":[{"role":"user","content":"${WORD}`),
    await ask(chat, { ...good, model: WORD }),
    await ask(chat, { ...good, messages: [{ role: WORD, content: WORD }] }),
    await ask(chat, { ...good, temperature: WORD }),
    await ask(chat, { ...good, user: WORD, tools }),
    await ask(chat, { ...good, messages: [{ role: "user", content: WORD.repeat(20_000) }] }),
    await ask(chat, {
      ...good,
      response_format: { type: "json_schema", json_schema: { name: "a", schema } },
    }),
    await ask(chat, { ...good, grammar: `root ::= ${WORD}` }),
    await ask(`/v1/${WORD}`, {}),
    await ask("/v1/completions", { prompt: [1e9], user: WORD }),
    await ask(chat, good, { authorization: `Bearer ${KEY}x` }),
    await ask(chat, good, { authorization: `Basic ${KEY}` }),
  ];
  for (const { status, text } of refused) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    answers.push(text);
  }
}

async function metrics(): Promise<string> {
  const headers = { authorization: `Bearer ${KEY}` };
  return await (await fetch(`${server.url}/metrics`, { headers })).text();
}

test("prompts reach neither the log nor the metrics", async () => {
  expect(server.stderr().split("\n").length).toBeGreaterThan(10);
  expect(server.stderr()).not.toContain(WORD);
  expect(await metrics()).not.toContain(WORD);
});

test("keys reach nothing: log, metrics, answers, command line", async () => {
  const outputs = [server.stderr(), await metrics(), ...answers];
  for (const output of outputs) expect(output).not.toContain(KEY);
  expect(readFileSync(`/proc/${server.pid}/cmdline`, "latin1")).not.toContain(KEY);
});

test("errors tell no path, no stack and no pointer", () => {
  expect(answers.length).toBeGreaterThan(10);
  for (const answer of answers) {
    expect(answer).not.toMatch(/\bat .*:\d+:\d+|\/src\/|\.ts\b|node_modules|\$bunfs|0x[\da-f]{6}/);
    const { error } = JSON.parse(answer) as { error: object };
    expect(Object.keys(error)).toEqual(
      expect.arrayContaining(["message", "type", "param", "code"]),
    );
  }
});

test("what steers a terminal or breaks a line stays out of the log", async () => {
  const before = server.stderr().length;
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(server.port, "127.0.0.1", () => {
    socket.write(
      "GET /v1/models/%0d%0a%1b%5b31mforged HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
        `User-Agent: evil\u009b31m\u0085forged\r\nAuthorization: Bearer ${KEY}\r\n` +
        "X-Request-Id: a\u009b2J\r\nConnection: close\r\n\r\n",
      "latin1",
    );
  });
  socket.on("data", () => {});
  socket.on("close", () => resolve());
  await promise;
  await until(() => server.stderr().length > before && server.stderr().endsWith("\n"));
  const lines = server.stderr().slice(before).trimEnd().split("\n");
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: expect.any(String) });
  expect(lines.join("")).not.toMatch(/\p{Cc}/u);
});

test("no client adds a series to the metrics", async () => {
  const names = async () =>
    new Set((await metrics()).split("\n").map((line) => line.replace(/ \S+$/, "")));
  await fetch(`${server.url}/v1/nowhere`, { headers: { authorization: `Bearer ${KEY}` } });
  await fetch(`${server.url}/v1/models/none`, { headers: { authorization: `Bearer ${KEY}` } });
  const before = await names();
  for (let i = 0; i < 50; i++) {
    await ask(`/v1/path${i}`, {});
    const headers = { authorization: `Bearer ${KEY}` };
    await fetch(`${server.url}/v1/models/m${i}`, { headers });
    await fetch(`${server.url}/x${i}`, { method: `M${i}`, headers }).catch(() => {});
  }
  const added = [...(await names()).difference(before)];
  // Routes, methods and statuses come from fixed sets; what is new is a combination of them.
  expect(added.length).toBeLessThan(60);
  expect(added.join("\n")).not.toMatch(/path\d|m\d|x\d|M\d/);
});
