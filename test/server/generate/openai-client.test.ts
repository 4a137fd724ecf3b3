/** The `openai` package against a listener: its accumulators are strict about order and ids. */

import { afterEach, expect, test } from "bun:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import type { RunnableToolFunction } from "openai/lib/RunnableFunction";
import { z } from "zod";
import { ArcticError } from "../../../src/errors.ts";
import { until } from "../../support/until.ts";
import { type FakeScript, spell } from "../fake-engine.ts";
import { harness } from "./harness.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const grammars = { compile: () => Promise.resolve({ id: 1, release: () => {} }) };

function connect(script: FakeScript, options: { maxRetries?: number } = {}) {
  const h = harness(script, { grammars });
  const { url, stop } = h.listen();
  stops.push(stop);
  const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0, ...options });
  return { h, client };
}

const model = "arctic/test";
const messages = [{ role: "user" as const, content: "Hi" }];

test("create", async () => {
  const { client } = connect({ answer: spell("Hello") });
  const answer = await client.chat.completions.create({ model, messages });
  expect(answer.choices[0]?.message.content).toBe("Hello");
  expect(answer.usage?.completion_tokens).toBe(5);
  expect(answer._request_id).toBeTruthy();
});

test("a stream with its usage", async () => {
  const { client } = connect({ answer: spell("Hello"), tokenMs: 1 });
  const stream = await client.chat.completions.create({
    ...{ model, messages, stream: true, stream_options: { include_usage: true } },
  });
  let text = "";
  let tokens = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  expect([text, tokens]).toEqual(["Hello", 5]);
});

test("the stream helper's accumulator, with log-probabilities and two choices", async () => {
  const { client } = connect({ answer: spell("Hé"), tokenMs: 1 });
  const stream = client.chat.completions.stream({
    ...{ model, messages, n: 2, logprobs: true, top_logprobs: 1 },
  });
  const whole = await stream.finalChatCompletion();
  expect(whole.choices.map(({ message }) => message.content)).toEqual(["Hé", "Hé"]);
  expect(whole.choices.map(({ finish_reason }) => finish_reason)).toEqual(["stop", "stop"]);
  expect(whole.choices[1]?.logprobs?.content?.[0]?.token).toBe("H");
});

test("runTools calls a function and tells its result", async () => {
  const call = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>';
  const first = spell(call);
  const { h, client } = connect({ answer: () => first });
  h.services.engine.script = {
    answer: () => h.services.engine.requests.length === 1 ? first : spell("It is 5."),
  };
  const add: RunnableToolFunction<{ a: number; b: number }> = {
    type: "function",
    function: {
      name: "add",
      description: "Adds two numbers",
      parameters: { type: "object", properties: { a: { type: "number" } } },
      parse: (text) => JSON.parse(text) as { a: number; b: number },
      function: ({ a, b }) => String(a + b),
    },
  };
  const runner = client.chat.completions.runTools({
    ...{ model, messages, stream: true, tools: [add] },
  });
  expect(await runner.finalContent()).toBe("It is 5.");
  const second = h.services.engine.requests[1];
  const prompt = new TextDecoder().decode(Uint8Array.from(second?.tokens.slice(1) ?? []));
  expect(prompt).toContain("<tool_response>5</tool_response>");
  expect(prompt).toContain('<tool_call>{"name": "add"');
});

test("parse with zod", async () => {
  const { client } = connect({ answer: spell('{"city": "Bern", "degrees": 21}') });
  const schema = z.object({ city: z.string(), degrees: z.number() });
  const answer = await client.chat.completions.parse({
    ...{ model, messages, response_format: zodResponseFormat(schema, "weather") },
  });
  expect(answer.choices[0]?.message.parsed).toEqual({ city: "Bern", degrees: 21 });
});

test("completions, plain and streamed", async () => {
  const { client } = connect({ answer: spell("abc") });
  const plain = await client.completions.create({ model, prompt: ["x", "y"], logprobs: 1 });
  expect(plain.choices.map(({ text }) => text)).toEqual(["abc", "abc"]);
  expect(plain.choices[0]?.logprobs?.tokens).toEqual(["a", "b", "c"]);
  let text = "";
  for await (const chunk of await client.completions.create({ model, prompt: "x", stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  expect(text).toBe("abc");
});

test("leaving a stream frees everything", async () => {
  const { h, client } = connect({ answer: spell("abc"), endless: true, tokenMs: 1 });
  for (let i = 0; i < 20; i++) {
    const stream = await client.chat.completions.create({
      ...{ model, messages, stream: true, max_tokens: -1 },
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  }
  await until(() => h.services.engine.active === 0 && h.app.admission.choices === 0);
});

test("aborting a plain request frees everything", async () => {
  const { h, client } = connect({ answer: spell("abc"), endless: true, tokenMs: 1 });
  const controller = new AbortController();
  const pending = client.chat.completions.create(
    { model, messages, max_tokens: -1 },
    { signal: controller.signal },
  );
  const aborted = pending.catch((error: unknown) => error);
  await until(() => h.services.engine.active === 1);
  controller.abort();
  expect(await aborted).toBeInstanceOf(OpenAI.APIUserAbortError);
  await until(() => h.services.engine.active === 0);
});

test("error classes", async () => {
  const { h, client } = connect({ answer: spell("abc") });
  const create = (fields: object) =>
    client.chat.completions.create({ model, messages, ...fields }).catch((error: unknown) => error);
  expect(await create({ temperature: -1 })).toBeInstanceOf(OpenAI.BadRequestError);
  expect(await create({ model: "other" })).toBeInstanceOf(OpenAI.NotFoundError);
  const failing = (code: "engine_numerical_error" | "engine_queue_full") => {
    const error = new ArcticError(code, "It failed.");
    h.services.engine.script = { answer: spell("abc"), failure: { after: 0, error } };
  };
  failing("engine_queue_full");
  expect(await create({})).toBeInstanceOf(OpenAI.RateLimitError);
  failing("engine_numerical_error");
  expect(await create({ stream: true })).toBeInstanceOf(OpenAI.InternalServerError);
});

test("an error within a stream is thrown, and what will fail again is not tried again", async () => {
  const { h, client } = connect({ answer: spell("abc") }, { maxRetries: 2 });
  const error = new ArcticError("engine_numerical_error", "NaN.");
  h.services.engine.script = { answer: spell("abc"), failure: { after: 2, error } };
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  const read = async () => {
    for await (const _ of stream);
  };
  expect(await read().catch((thrown: unknown) => thrown)).toBeInstanceOf(OpenAI.APIError);
  h.services.engine.script = { answer: spell("abc"), failure: { after: 0, error } };
  const before = h.services.engine.requests.length;
  await client.chat.completions.create({ model, messages }).catch(() => {});
  expect(h.services.engine.requests.length).toBe(before + 1);
});
