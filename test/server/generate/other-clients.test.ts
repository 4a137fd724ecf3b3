/** The AI SDK and LangChain against a listener. */

import { afterEach, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { type FakeScript, spell } from "../fake-engine.ts";
import { harness } from "./harness.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const grammars = { compile: () => Promise.resolve({ id: 1, release: () => {} }) };

function listen(script: FakeScript) {
  const h = harness(script, { grammars });
  const { url, stop } = h.listen();
  stops.push(stop);
  return { h, url };
}

function aiModel(url: string) {
  const provider = createOpenAICompatible({
    ...{ name: "arctic", baseURL: url, supportsStructuredOutputs: true },
  });
  return provider.chatModel("arctic/test");
}

function langchain(url: string) {
  const configuration = { baseURL: url };
  return new ChatOpenAI({ model: "arctic/test", apiKey: "none", configuration, maxRetries: 0 });
}

const call = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>';
const numbers = z.object({ a: z.number(), b: z.number() });

test("AI SDK: text, plain and streamed", async () => {
  const { url } = listen({ answer: spell("Hello") });
  const plain = await generateText({ model: aiModel(url), prompt: "Hi" });
  expect([plain.text, plain.finishReason]).toEqual(["Hello", "stop"]);
  const stream = streamText({ model: aiModel(url), prompt: "Hi" });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  expect(text).toBe("Hello");
});

test("AI SDK: an object", async () => {
  const { url } = listen({ answer: spell('{"a": 1, "b": 2}') });
  const { object } = await generateObject({ model: aiModel(url), schema: numbers, prompt: "Hi" });
  expect(object).toEqual({ a: 1, b: 2 });
});

test("AI SDK: a tool call, plain and streamed", async () => {
  const { url } = listen({ answer: spell(call) });
  const tools = { add: tool({ description: "Adds", inputSchema: numbers }) };
  const plain = await generateText({ model: aiModel(url), prompt: "Hi", tools });
  expect(plain.toolCalls[0]).toMatchObject({ toolName: "add", input: { a: 2, b: 3 } });
  const stream = streamText({ model: aiModel(url), prompt: "Hi", tools });
  expect((await stream.toolCalls)[0]).toMatchObject({ toolName: "add", input: { a: 2, b: 3 } });
  expect(await stream.finishReason).toBe("tool-calls");
});

test("LangChain: invoke and stream", async () => {
  const { url } = listen({ answer: spell("Hello") });
  const model = langchain(url);
  expect((await model.invoke("Hi")).content).toBe("Hello");
  let text = "";
  for await (const chunk of await model.stream("Hi")) text += chunk.content;
  expect(text).toBe("Hello");
});

test("LangChain: tools and structured output", async () => {
  const { h, url } = listen({ answer: spell(call) });
  const add = { name: "add", description: "Adds", schema: numbers };
  const answer = await langchain(url).bindTools([add]).invoke("Hi");
  expect(answer.tool_calls?.[0]).toMatchObject({ name: "add", args: { a: 2, b: 3 } });
  h.services.engine.script = { answer: spell('{"a": 1, "b": 2}') };
  const structured = langchain(url).withStructuredOutput(numbers, { name: "numbers" });
  expect(await structured.invoke("Hi")).toEqual({ a: 1, b: 2 });
});
