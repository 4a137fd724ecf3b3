/** The `openai` package as it is installed, against the compiled program with its embedded model. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import type { RunnableToolFunction } from "openai/lib/RunnableFunction";
import { z } from "zod";
import { defined } from "../../src/assert.ts";
import { MODEL, plainAnswer, question, type ServedProcess, startServer } from "./server.ts";

setDefaultTimeout(60_000);

const RUNNING = "arctic:num_requests_running";
/** Choices that the key may have at once. */
const PLACES = 4;

let server: ServedProcess;
let client: OpenAI;
beforeAll(async () => {
  server = await startServer({
    args: [`--max-concurrent=${PLACES}`],
    env: { ARCTIC_API_KEY: "the-key" },
  });
  client = connect();
  said = await plainAnswer(server, "the-key");
});
afterAll(() => server[Symbol.asyncDispose]());

function connect(options: { apiKey?: string; maxRetries?: number } = {}): OpenAI {
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "the-key", maxRetries: 0, ...options });
}

const chat = { model: MODEL, messages: question() };
/** Goes on until somebody ends it. */
const endless = { ...chat, max_tokens: -1, ignore_eos: true };
/** What the model says to the question. */
let said = "";

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(() => undefined, (error: unknown) => error);
}

const sums: { a: number; b: number }[] = [];
const add: RunnableToolFunction<{ a: number; b: number }> = {
  type: "function",
  function: {
    name: "add",
    description: "Adds two digits",
    parameters: {
      type: "object",
      properties: {
        a: { type: "integer", minimum: 0, maximum: 9 },
        b: { type: "integer", minimum: 0, maximum: 9 },
      },
      required: ["a", "b"],
      additionalProperties: false,
    },
    parse: (text) => JSON.parse(text) as { a: number; b: number },
    function: (numbers) => {
      sums.push(numbers);
      return String(numbers.a + numbers.b);
    },
  },
};

describe("chat", () => {
  test("create", async () => {
    const answer = await client.chat.completions.create(chat);
    expect(answer.choices[0]?.message.content).toBe(said);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.total_tokens).toBeGreaterThan(answer.usage?.prompt_tokens ?? Infinity);
    expect(answer._request_id).toMatch(/^req_/);
  });

  test("a stream says what a plain answer says, with its usage", async () => {
    const stream = await client.chat.completions.create({
      ...{ ...chat, stream: true, stream_options: { include_usage: true } },
    });
    let text = "";
    let tokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect(text).toBe(said);
    expect(tokens).toBe((await client.chat.completions.create(chat)).usage?.completion_tokens ?? 0);
  });

  test("the stream helper's events and its sum", async () => {
    const stream = client.chat.completions.stream(chat);
    const deltas: string[] = [];
    stream.on("content", (delta) => deltas.push(delta));
    const whole = await stream.finalChatCompletion();
    expect(deltas.join("")).toBe(said);
    expect(whole.choices[0]?.message.content).toBe(said);
    expect(await stream.finalContent()).toBe(said);
  });

  test("two choices in one stream, each under its seed", async () => {
    const drawn = { ...chat, n: 2, temperature: 1, seed: 7, max_tokens: 12 };
    const streamed = await client.chat.completions.stream(drawn).finalChatCompletion();
    const plain = await client.chat.completions.create(drawn);
    const texts = (answer: typeof plain) => answer.choices.map(({ message }) => message.content);
    expect(texts(plain)).toHaveLength(2);
    expect(texts(streamed)).toEqual(texts(plain));
  });

  test("log-probabilities add up to the text, streamed and plain", async () => {
    const wanted = { ...chat, logprobs: true, top_logprobs: 2 };
    const plain = await client.chat.completions.create(wanted);
    const streamed = await client.chat.completions.stream(wanted).finalChatCompletion();
    for (const { choices: [choice] } of [plain, streamed]) {
      const entries = defined(choice?.logprobs?.content ?? undefined, "log-probabilities");
      expect(entries.map(({ token }) => token).join("")).toBe(said);
      for (const { logprob, top_logprobs: top } of entries) {
        expect(logprob).toBeLessThanOrEqual(0);
        expect(top[0]?.logprob).toBe(logprob);
        expect(top).toHaveLength(2);
      }
    }
  });

  test("a conversation of several turns finds its beginning in the cache", async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [];
    const cached: number[] = [];
    for (const content of ["How many orders are there?", "And customers?", "Thank you."]) {
      messages.push({ role: "user", content });
      const { choices: [choice], usage } = await client.chat.completions.create({
        ...{ model: MODEL, messages, max_tokens: 60 },
      });
      messages.push(defined(choice, "a choice").message);
      expect(choice?.message.content).not.toBe("");
      cached.push(usage?.prompt_tokens_details?.cached_tokens ?? 0);
    }
    expect(cached[2]).toBeGreaterThan(cached[1] ?? Infinity);
  });

  test("a stop text ends the answer before it", async () => {
    const stop = said.slice(said.length >> 1);
    const answer = await client.chat.completions.create({ ...chat, stop });
    expect(answer.choices[0]).toMatchObject({
      message: { content: said.slice(0, said.indexOf(stop)) },
      finish_reason: "stop",
    });
  });

  test("parse with zod", async () => {
    const schema = z.object({ table: z.enum(["orders", "customers"]), count: z.int().max(9) });
    const answer = await client.chat.completions.parse({
      ...{ ...chat, max_tokens: 60, response_format: zodResponseFormat(schema, "answer") },
    });
    const parsed = answer.choices[0]?.message.parsed;
    expect(parsed?.table).toMatch(/^(orders|customers)$/);
    expect(parsed?.count).toBeLessThanOrEqual(9);
  });

  test("a call that is asked for, plain and streamed", async () => {
    const { description, parameters } = add.function;
    const tools = [{
      type: "function" as const,
      function: { name: "add", description, parameters: { ...parameters } },
    }];
    const wanted = { ...chat, tools, tool_choice: "required" as const, max_tokens: 80 };
    const plain = await client.chat.completions.create(wanted);
    const streamed = await client.chat.completions.stream(wanted).finalChatCompletion();
    for (const { choices: [choice] } of [plain, streamed]) {
      expect(choice?.finish_reason).toBe("tool_calls");
      // The accumulator begins with the empty text of the first chunk.
      expect(choice?.message.content ?? "").toBe("");
      const call = choice?.message.tool_calls?.[0];
      if (call?.type !== "function") throw new Error("no call of a function");
      expect([call.function.name, call.id]).toEqual(["add", expect.stringMatching(/^call_/)]);
      expect(Object.keys(JSON.parse(call.function.arguments))).toEqual(["a", "b"]);
    }
  });

  test.each([false, true])("runTools calls the function (stream: %p)", async (stream) => {
    sums.length = 0;
    const params = {
      ...{ ...chat, max_tokens: 80, tools: [add] },
      tool_choice: { type: "function", function: { name: "add" } } as const,
    };
    const runner = stream
      ? client.chat.completions.runTools({ ...params, stream: true })
      : client.chat.completions.runTools(params);
    const result = await runner.finalFunctionToolCallResult();
    const [sum] = sums;
    expect(sums).toHaveLength(1);
    expect(result).toBe(String((sum?.a ?? NaN) + (sum?.b ?? NaN)));
  });
});

describe("completions", () => {
  const prompt = "how many orders";

  test("of a text, plain and streamed", async () => {
    const wanted = { model: MODEL, prompt, max_tokens: 6 };
    const plain = await client.completions.create(wanted);
    let text = "";
    for await (const chunk of await client.completions.create({ ...wanted, stream: true })) {
      text += chunk.choices[0]?.text ?? "";
    }
    expect(text).toBe(defined(plain.choices[0], "a choice").text);
    expect(plain.usage?.completion_tokens).toBeGreaterThan(0);
  });

  test("of token ids are those of their text", async () => {
    const response = await fetch(`${server.url}/tokenize`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer the-key" },
      body: JSON.stringify({ content: prompt }),
    });
    const { tokens } = await response.json() as { tokens: number[] };
    const wanted = { model: MODEL, max_tokens: 6 };
    const ids = await client.completions.create({ ...wanted, prompt: tokens });
    const lists = await client.completions.create({ ...wanted, prompt: [tokens, tokens] });
    const texts = await client.completions.create({ ...wanted, prompt: [prompt, prompt] });
    const expected = texts.choices.map(({ text }) => text);
    expect(expected).toHaveLength(2);
    expect(ids.choices.map(({ text }) => text)).toEqual(expected.slice(0, 1));
    expect(lists.choices.map(({ text }) => text)).toEqual(expected);
    expect(ids.usage?.prompt_tokens).toBe(tokens.length);
  });

  test("echo with log-probabilities covers prompt and answer", async () => {
    const answer = await client.completions.create({
      ...{ model: MODEL, prompt, echo: true, logprobs: 1, max_tokens: 3 },
    });
    const choice = defined(answer.choices[0], "a choice");
    expect(choice.text).toStartWith(prompt);
    const told = defined(choice.logprobs ?? undefined, "log-probabilities");
    const tokens = defined(told.tokens, "tokens");
    expect(tokens.join("")).toBe(choice.text);
    expect<unknown>(told.token_logprobs?.[0]).toBeNull();
    expect(told.token_logprobs?.slice(1).every((value) => value <= 0)).toBe(true);
    expect(told.text_offset).toHaveLength(tokens.length);
  });
});

test("a base URL without the version, as llama-server's clients have it", async () => {
  const bare = new OpenAI({ baseURL: server.url, apiKey: "the-key", maxRetries: 0 });
  const answer = await bare.chat.completions.create(chat);
  expect(answer.choices[0]?.message.content).toBe(said);
  expect((await bare.models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
  expect(await failure(connect().get("/nothing"))).toBeInstanceOf(OpenAI.NotFoundError);
});

test.each([
  { response_format: { type: "json_object", schema: { const: "fortytwo" } } },
  { json_schema: { const: "fortytwo" } },
])("%j, as llama-server's clients write it, holds the output", async (fields) => {
  const body = { ...chat, ...fields } as unknown as typeof chat;
  const answer = await client.chat.completions.create(body);
  expect(answer.choices[0]?.message.content).toBe('"fortytwo"');
  const text = await client.completions.create({
    ...{ model: MODEL, prompt: "Say it:" },
    ...{ json_schema: { const: "fortytwo" } },
  });
  expect(text.choices[0]?.text).toBe('"fortytwo"');
});

test("models, listed and by name", async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual([MODEL]);
  expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: "model" });
  expect(await failure(client.models.retrieve("no/such"))).toBeInstanceOf(OpenAI.NotFoundError);
});

describe("who goes away", () => {
  test("from a stream's loop frees the place", async () => {
    const stream = await client.chat.completions.create({ ...endless, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await server.metricIs(RUNNING, 0);
  });

  test.each([false, true])("by an abort frees the place (stream: %p)", async (stream) => {
    const controller = new AbortController();
    const create = async () => {
      const options = { signal: controller.signal };
      const answer = await client.chat.completions.create({ ...endless, stream }, options);
      if ("controller" in answer) { for await (const _ of answer); }
    };
    const ended = failure(create());
    await server.metricIs(RUNNING, 1);
    controller.abort();
    const error = await ended;
    // A stream that is aborted while it is read ends without an error.
    if (!stream) expect(error).toBeInstanceOf(OpenAI.APIUserAbortError);
    await server.metricIs(RUNNING, 0);
  });

  test("by a timeout frees the place", async () => {
    const create = client.chat.completions.create(endless, { timeout: 300, maxRetries: 0 });
    expect(await failure(create)).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await server.metricIs(RUNNING, 0);
  });
});

describe("errors", () => {
  test("400 names the field", async () => {
    const error = await failure(client.chat.completions.create({ ...chat, temperature: -1 }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      param: "temperature",
      type: "invalid_request_error",
    });
  });

  test("400 for a prompt that is too long, streamed or not", async () => {
    const messages = question("orders ".repeat(6_000));
    for (const stream of [false, true]) {
      const error = await failure(
        client.chat.completions.create({ model: MODEL, messages, stream }),
      );
      expect(error).toBeInstanceOf(OpenAI.BadRequestError);
      expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    }
  });

  test("401 for a wrong key, which is not told again", async () => {
    const error = await failure(connect({ apiKey: "canary-wrong" }).models.list());
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect(String(error)).not.toContain("canary");
  });

  test("404 for an unknown model", async () => {
    const error = await failure(client.chat.completions.create({ ...chat, model: "gpt-4o" }));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model" });
  });

  test("429 when all places are taken says when to come back, and a retry then gets one", async () => {
    const controller = new AbortController();
    const held = await client.chat.completions.create(
      { ...endless, n: PLACES, stream: true },
      { signal: controller.signal },
    );
    const error = await failure(client.chat.completions.create(chat));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    const headers = (error as InstanceType<typeof OpenAI.RateLimitError>).headers;
    expect(Number(headers?.get("retry-after"))).toBeGreaterThan(0);
    const patient = connect({ maxRetries: 2 }).chat.completions.create(chat);
    controller.abort();
    expect((await patient).choices[0]?.message.content).toBe(said);
    held.controller.abort();
  });

  test("what will fail again is asked for once", async () => {
    const error = await failure(
      connect({ maxRetries: 2 }).embeddings.create({
        ...{ model: MODEL, input: "x" },
      }),
    );
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    const requests =
      'arctic:http_requests_total{method="POST",route="/v1/embeddings",status="404"}';
    expect(await server.metric(requests)).toBe(1);
  });
});
