/** LangChain's ChatOpenAI as it is installed, against the compiled program with its embedded model. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { MODEL, plainAnswer, type ServedProcess, startServer } from "./server.ts";

setDefaultTimeout(60_000);

const RUNNING = "arctic:num_requests_running";
/** What the model says to the question. */
let said = "";
const prompt = "How many orders are there?";
const digits = z.object({ a: z.int().min(0).max(9), b: z.int().min(0).max(9) });
const add = { name: "add", description: "Adds two digits", schema: digits };

let server: ServedProcess;
beforeAll(async () => {
  server = await startServer();
  said = await plainAnswer(server);
});
afterAll(() => server[Symbol.asyncDispose]());

function chat(fields: ConstructorParameters<typeof ChatOpenAI>[0] = {}): ChatOpenAI {
  const configuration = { baseURL: `${server.url}/v1` };
  return new ChatOpenAI({
    ...{ model: MODEL, apiKey: "none", maxRetries: 0, maxTokens: 80, temperature: 0 },
    ...{ configuration, ...fields },
  });
}

test("invoke", async () => {
  const answer = await chat().invoke(prompt);
  expect(answer.content).toBe(said);
  expect(answer.usage_metadata?.input_tokens).toBeGreaterThan(10);
  expect(answer.response_metadata["finish_reason"]).toBe("stop");
});

test("stream, with its usage", async () => {
  let text = "";
  let tokens = 0;
  for await (const chunk of await chat().stream(prompt)) {
    text += chunk.content;
    tokens = chunk.usage_metadata?.output_tokens ?? tokens;
  }
  expect(text).toBe(said);
  expect(tokens).toBeGreaterThan(1);
});

test("a conversation of messages", async () => {
  const answer = await chat().invoke([
    { role: "user", content: prompt },
    { role: "assistant", content: said },
    { role: "user", content: [{ type: "text", text: "And how many customers?" }] },
  ]);
  expect(answer.content).not.toBe("");
});

test("batch answers each its own", async () => {
  const answers = await chat().batch([prompt, "How many customers are there?"]);
  const other = await plainAnswer(server, undefined, "How many customers are there?");
  expect(other).not.toBe(said);
  expect(answers.map(({ content }) => content)).toEqual([said, other]);
});

test("bindTools", async () => {
  const answer = await chat().bindTools([add], { tool_choice: "add" }).invoke(prompt);
  const [call] = answer.tool_calls ?? [];
  expect(call).toMatchObject({ name: "add", id: expect.stringMatching(/^call_/) });
  expect(digits.parse(call?.args)).toEqual(call?.args as z.infer<typeof digits>);
});

test("bindTools, streamed in pieces that add up", async () => {
  const stream = await chat().bindTools([add], { tool_choice: "required" }).stream(prompt);
  let args = "";
  for await (const chunk of stream) {
    for (const piece of chunk.tool_call_chunks ?? []) args += piece.args ?? "";
  }
  const parsed: unknown = JSON.parse(args);
  expect<unknown>(digits.parse(parsed)).toEqual(parsed);
});

test.each(["jsonSchema", "functionCalling"] as const)("structured output by %s", async (method) => {
  const structured = chat().withStructuredOutput(digits, { name: "digits", method });
  const answer = await structured.invoke(prompt);
  expect(digits.parse(answer)).toEqual(answer);
});

test("leaving a stream frees the place", async () => {
  const endless = chat({ maxTokens: -1, modelKwargs: { ignore_eos: true, max_tokens: -1 } });
  for await (const chunk of await endless.stream(prompt)) if (chunk.content !== "") break;
  await server.metricIs(RUNNING, 0);
});

test("an error says what the server said", async () => {
  const error: unknown = await chat({ model: "gpt-4o" }).invoke(prompt).catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 404, code: "model_not_found" });
});
