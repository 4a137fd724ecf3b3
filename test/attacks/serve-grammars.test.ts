/** RELIABILITY rows 60 to 63 on the compiled program: schemas and tools that are to crash or stall it. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import process from "node:process";
import { probeHealth, residentBytes } from "../clients/probe.ts";
import { MODEL, question, type ServedProcess, startServer } from "../clients/server.ts";
import { ownTime } from "../support/own-time.ts";

setDefaultTimeout(60_000);

let server: ServedProcess;
beforeAll(async () => {
  server = await startServer({ args: ["--log-level=warn"] });
  expect((await ask(schemaFormat({ type: "integer", minimum: 0, maximum: 9 }))).status).toBe(200);
});
afterAll(() => server[Symbol.asyncDispose]());

interface Answer {
  readonly choices?: readonly {
    readonly message: { readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly error?: { readonly param: string | null; readonly code: string | null };
}

async function ask(fields: object): Promise<{ status: number; answer: Answer }> {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL, messages: question(), max_tokens: 40, ...fields }),
  });
  return { status: response.status, answer: await response.json() as Answer };
}

const schemaFormat = (schema: unknown) => ({
  response_format: { type: "json_schema", json_schema: { name: "a", schema } },
});

function nested(depth: number): object {
  return depth === 0
    ? { type: "null" }
    : { type: "object", properties: { a: nested(depth - 1) }, required: ["a"] };
}

const properties = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, { type: "string" }]));
const text = (fields: object) => ({
  type: "object",
  properties: { a: { type: "string", ...fields } },
});

describe("a schema", () => {
  test.each([
    ["of depth 100", nested(100)],
    ["with 5,000 properties", { type: "object", properties: properties(5_000) }],
    ["that repeats repetitions", text({ pattern: "((a{1,1000}){1,1000}){1,1000}" })],
    ["with 50,000 values", { enum: Array.from({ length: 50_000 }, (_, i) => `v${i}`) }],
    ["of a million characters", text({ maxLength: 1e6 })],
    ["that is its own reference", { $ref: "#" }],
    ["that goes round in references", {
      $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } },
      $ref: "#/$defs/a",
    }],
    ["of elsewhere", { $ref: "http://127.0.0.1:9/schema.json" }],
    ["of a type that is none", { type: "wizard" }],
    ["with a pattern that is none", text({ pattern: "(?:" })],
    ["with a pattern that looks back", text({ pattern: "(?<=a)b\\1" })],
    ["that is a number", 42],
  ])("%s is refused within a second, and the event loop turns", async (_, schema) => {
    const probe = probeHealth(server);
    const asked = await ownTime(ask(schemaFormat(schema)), [server.pid, process.pid]);
    const { status, answer } = asked.value;
    const { own } = await probe.stop();
    expect(status).toBe(400);
    // A body that is nested too deep is refused before anybody knows what is in it.
    expect(answer.error?.param ?? "response_format").toStartWith("response_format");
    expect(asked.own).toBeLessThan(1_000);
    expect(own.worst).toBeLessThan(50);
  });

  test("is followed after all of these", async () => {
    const { status, answer } = await ask(schemaFormat({ enum: [1, 2] }));
    expect(status).toBe(200);
    expect(["1", "2"]).toContain(answer.choices?.[0]?.message.content.trim() ?? "");
  });

  test("another one each time: memory stays, and so do answers to others", async () => {
    const one = async (i: number) => {
      const { status } = await ask({
        ...schemaFormat({ type: "object", properties: { [`k${i}`]: { enum: [i] } } }),
        max_tokens: 1,
      });
      expect(status).toBe(200);
    };
    for (let i = 0; i < 40; i++) await one(i);
    const before = residentBytes(server.pid);
    const probe = probeHealth(server);
    for (let i = 40; i < 150; i++) await one(i);
    const { own } = await probe.stop();
    expect(own.p99).toBeLessThan(50);
    expect(residentBytes(server.pid) - before).toBeLessThan(64 * 1024 * 1024);
  });
});

test("a grammar without an end is cut at max_tokens", async () => {
  const { status, answer } = await ask({ grammar: 'root ::= "a" root' });
  expect([status, answer.choices?.[0]?.finish_reason]).toEqual([200, "length"]);
  expect(answer.choices?.[0]?.message.content).toMatch(/^a+$/);
});

const tool = (name: string, parameters: object = { type: "object", properties: {} }) => ({
  type: "function",
  function: { name, parameters },
});

test.each([
  ["a thousand tools", { tools: Array.from({ length: 1_000 }, (_, i) => tool(`f${i}`)) }, "tools"],
  ["a tool with a bad name", { tools: [tool("a b\n")] }, "tools[0].function.name"],
  [
    "a forced tool that is not there",
    { tools: [tool("a")], tool_choice: tool("b") },
    "tool_choice",
  ],
  [
    "a forced tool with hostile parameters",
    {
      tools: [tool("a", text({ pattern: "((a{1,1000}){1,1000}){1,1000}" }))],
      tool_choice: "required",
    },
    "tool",
  ],
])("%s is refused", async (_, fields, param) => {
  const { status, answer } = await ask(fields);
  expect(status).toBe(400);
  expect(answer.error?.param ?? "").toStartWith(param);
});
