/** The AI SDK as it is installed, against the compiled program with its embedded model. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  generateObject,
  generateText,
  isStepCount,
  Output,
  streamObject,
  streamText,
  tool,
} from "ai";
import { z } from "zod";
import { MODEL, plainAnswer, question, type ServedProcess, startServer } from "./server.ts";

setDefaultTimeout(60_000);

const RUNNING = "arctic:num_requests_running";
/** What the model says to the question. */
let said = "";

let server: ServedProcess;
beforeAll(async () => {
  server = await startServer();
  said = await plainAnswer(server);
});
afterAll(() => server[Symbol.asyncDispose]());

function provider() {
  return createOpenAICompatible({
    ...{ name: "arctic", baseURL: `${server.url}/v1`, apiKey: "none" },
    ...{ supportsStructuredOutputs: true, includeUsage: true },
  });
}
const model = (id = MODEL) => provider().chatModel(id);
const prompt = "How many orders are there?";
const digits = z.object({ a: z.int().min(0).max(9), b: z.int().min(0).max(9) });

test("generateText", async () => {
  const answer = await generateText({ model: model(), prompt });
  expect([answer.text, answer.finishReason]).toEqual([said, "stop"]);
  expect(answer.usage.inputTokens).toBeGreaterThan(10);
  expect(answer.usage.outputTokens).toBeGreaterThan(1);
});

test("streamText, with its usage", async () => {
  const stream = streamText({ model: model(), prompt });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  expect([text, await stream.finishReason]).toEqual([said, "stop"]);
  expect((await stream.usage).outputTokens).toBeGreaterThan(1);
});

test("a conversation, cut at its bound", async () => {
  const messages = [
    ...question(),
    { role: "assistant" as const, content: said },
    ...question("And how many customers?"),
  ];
  const answer = await generateText({ model: model(), messages, maxOutputTokens: 2 });
  expect(answer.finishReason).toBe("length");
  expect(answer.usage.outputTokens).toBe(2);
});

test("a seed repeats what is drawn", async () => {
  const draw = (seed: number) =>
    generateText({ model: model(), prompt, temperature: 1, topP: 0.9, seed, maxOutputTokens: 20 });
  const [first, again] = [await draw(3), await draw(3)];
  expect(again.text).toBe(first.text);
});

test("generateObject", async () => {
  const { object } = await generateObject({
    ...{ model: model(), schema: digits, prompt, maxOutputTokens: 60 },
  });
  expect(digits.parse(object)).toEqual(object);
});

test("streamObject gives parts of the object it ends with", async () => {
  const stream = streamObject({ model: model(), schema: digits, prompt, maxOutputTokens: 60 });
  let last: unknown;
  for await (const part of stream.partialObjectStream) last = part;
  const object = await stream.object;
  expect(last).toEqual(object);
  expect(digits.parse(object)).toEqual(object);
});

test("generateText with an output that is one of a choice", async () => {
  const { output } = await generateText({
    ...{ model: model(), prompt, maxOutputTokens: 60 },
    output: Output.choice({ options: ["orders", "customers"] }),
  });
  expect(["orders", "customers"]).toContain(output);
});

const add = tool({
  description: "Adds two digits",
  inputSchema: digits,
  execute: ({ a, b }) => a + b,
});

test("a tool is called, plain and streamed", async () => {
  const wanted = {
    ...{ model: model(), prompt, tools: { add }, maxOutputTokens: 80 },
    toolChoice: { type: "tool", toolName: "add" } as const,
  };
  const plain = await generateText(wanted);
  const streamed = streamText(wanted);
  const calls = [plain.toolCalls, await streamed.toolCalls];
  const results = [plain.toolResults, await streamed.toolResults];
  for (const [i, [call]] of calls.entries()) {
    expect(call?.toolName).toBe("add");
    const { a, b } = digits.parse(call?.input);
    expect<unknown>(results[i]?.[0]?.output).toBe(a + b);
  }
});

test("a tool's result goes back, and the model is asked again", async () => {
  const answer = await generateText({
    ...{ model: model(), prompt, tools: { add }, maxOutputTokens: 80 },
    ...{ toolChoice: "required", stopWhen: isStepCount(2) },
  });
  expect(answer.steps).toHaveLength(2);
  expect(answer.steps[1]?.usage.inputTokens).toBeGreaterThan(
    answer.steps[0]?.usage.inputTokens ?? Infinity,
  );
});

test("completions", async () => {
  const answer = await generateText({
    ...{ model: provider().completionModel(MODEL), prompt: "how many", maxOutputTokens: 4 },
  });
  expect(answer.usage.outputTokens).toBeLessThanOrEqual(4);
});

test("an abort frees the place", async () => {
  const controller = new AbortController();
  const stream = streamText({
    ...{ model: model(), prompt, abortSignal: controller.signal },
    providerOptions: { arctic: { ignore_eos: true, max_tokens: -1 } },
  });
  const reading = (async () => {
    for await (const _ of stream.textStream);
  })().catch(() => {});
  await server.metricIs(RUNNING, 1);
  controller.abort();
  await reading;
  await server.metricIs(RUNNING, 0);
});

test("an error says what the server said", async () => {
  const error: unknown = await generateText({ model: model("gpt-4o"), prompt, maxRetries: 0 })
    .then(() => undefined, (thrown: unknown) => thrown);
  expect(APICallError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ statusCode: 404, isRetryable: false });
  expect(String(error)).toContain(MODEL);
});
