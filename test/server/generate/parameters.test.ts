/** What is refused, and with which `param`: RELIABILITY rows 27, 28, 30, 32-34, 50-59 and 63. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../../src/limits.ts";
import { answerOf, CHAT, COMPLETIONS, harness, hello } from "./harness.ts";

const tool = (name: string) => ({ type: "function", function: { name } });
const many = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

const badChat: readonly (readonly [param: string, fields: Record<string, unknown>])[] = [
  ...[0, -1, 1.5, 1e6, 9, "2"].map((n) => ["n", { n }] as const),
  ...[0, -2, "10", 1.5].map((max_tokens) => ["max_tokens", { max_tokens }] as const),
  ["max_completion_tokens", { max_completion_tokens: 0 }],
  ...[-1, 1e9, "1"].map((temperature) => ["temperature", { temperature }] as const),
  ...[0, 2, -1].map((top_p) => ["top_p", { top_p }] as const),
  ["top_k", { top_k: -5 }],
  ["min_p", { min_p: 1.1 }],
  ["typical_p", { typical_p: 0 }],
  ["frequency_penalty", { frequency_penalty: 2.1 }],
  ["presence_penalty", { presence_penalty: -3 }],
  ["repetition_penalty", { repetition_penalty: 0 }],
  ["dry_multiplier", { dry_multiplier: -1 }],
  ["penalty_last_n", { penalty_last_n: 1e9 }],
  ["seed", { seed: 2 ** 53 }],
  ["seed", { seed: 1.5 }],
  ["stop", { stop: many(1_000, "x") }],
  ["stop", { stop: "" }],
  ["stop[1]", { stop: ["a", ""] }],
  ["stop", { stop: "x".repeat(1_000_000) }],
  ["stop_token_ids", { stop_token_ids: [300] }],
  ["min_tokens", { min_tokens: 5, max_tokens: 4 }],
  ["logit_bias", { logit_bias: { "300": 1 } }],
  ["logit_bias", { logit_bias: { cat: 1 } }],
  ["logit_bias.5", { logit_bias: { "5": 101 } }],
  ["logit_bias", { logit_bias: Object.fromEntries(many(2_000, 0).map((_, i) => [`${i}`, 1])) }],
  ["logprobs", { logprobs: 3 }],
  ...[21, -1].map((top_logprobs) => ["top_logprobs", { logprobs: true, top_logprobs }] as const),
  ["top_logprobs", { top_logprobs: 3 }],
  ["stream_options", { stream_options: { include_usage: true } }],
  ["window", { sinks: 4, window: 4_096 }],
  ["window", { window: 0 }],
  ["response_format.type", { response_format: { type: "yaml" } }],
  ["response_format.json_schema.schema", {
    response_format: { type: "json_schema", json_schema: { name: "x" } },
  }],
  ["response_format", { response_format: { type: "json_object" } }],
  ["grammar", { grammar: 'root ::= "a"' }],
  ["grammar", { grammar: 'root ::= "a"', response_format: { type: "json_object" } }],
  ["response_format.schema", { response_format: { type: "json_object", schema: 123 } }],
  ["json_schema", { json_schema: "{}" }],
  ["grammar", { grammar: 'root ::= "a"', json_schema: {} }],
  ["json_schema", { json_schema: {}, response_format: { type: "json_object" } }],
  ["tools", { tools: many(1_000, tool("f")) }],
  ["tools[0].function.name", { tools: [tool("bad name")] }],
  ["tools[0].function.name", { tools: [tool("x".repeat(65))] }],
  ["tools[1].function.name", { tools: [tool("f"), tool("f")] }],
  ["tool_choice", { tools: [tool("f")], tool_choice: tool("g") }],
  ["tool_choice", { tool_choice: "required" }],
  ["tool_choice", { tools: [tool("f")], tool_choice: "always" }],
  ["messages", { messages: [] }],
  ["messages", { messages: many(10_000, hello[0]) }],
  ["messages[0].role", { messages: [{ role: "x".repeat(1_000_000), content: "a" }] }],
  ["messages[0].content", { messages: [{ role: "user", content: null }] }],
  ["messages[0].content", { messages: [{ role: "user", content: 5 }] }],
  ["messages[0].content[0].type", {
    messages: [{ role: "user", content: [{ type: "input_audio", text: "x" }] }],
  }],
];

test.each(badChat)("chat refuses %s: %j", async (param, fields) => {
  const h = harness();
  const response = await h.post(CHAT, { messages: hello, ...fields });
  const { error } = await answerOf(response);
  expect({ status: response.status, param: error.param }).toEqual({ status: 400, param });
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  expect(error.message.length).toBeLessThan(1_000);
  expect(h.services.engine.requests).toEqual([]);
  expect(h.app.admission.choices).toBe(0);
  expect((await h.post(CHAT, { messages: hello })).status).toBe(200);
});

const badCompletions: typeof badChat = [
  ["prompt", { prompt: [] }],
  ["prompt", { prompt: [1, 300] }],
  ["prompt", { prompt: [1, -1] }],
  ["prompt", { prompt: [1, 1.5] }],
  ["prompt", { prompt: [[]] }],
  ["prompt", { prompt: many(129, "x") }],
  ["prompt", { prompt: many(100, "x"), n: 2 }],
  ["best_of", { best_of: 9 }],
  ["best_of", { best_of: 1, n: 2 }],
  ["best_of", { best_of: 2, stream: true }],
  ["logprobs", { logprobs: 21 }],
  ["logprobs", { logprobs: -1 }],
  ["suffix", { suffix: "end" }],
  ["max_tokens", { max_tokens: 0 }],
];

test.each(badCompletions)("completions refuse %s: %j", async (param, fields) => {
  const h = harness();
  const response = await h.post(COMPLETIONS, { prompt: "x", ...fields });
  const { error } = await answerOf(response);
  expect({ status: response.status, param: error.param }).toEqual({ status: 400, param });
  expect(h.app.admission.choices).toBe(0);
});

test("a bad token id is named", async () => {
  const { error } = await answerOf(await harness().post(COMPLETIONS, { prompt: [1, 2, 301] }));
  expect(error.message).toContain("301");
  expect(error.message).toContain("position 2");
});

test("an unknown model is 404 model_not_found", async () => {
  const response = await harness().post(CHAT, { model: "gpt-4o", messages: hello });
  expect(response.status).toBe(404);
  expect((await answerOf(response)).error).toMatchObject({
    code: "model_not_found",
    param: "model",
  });
});

test.each([false, true])("a prompt that is too long is HTTP 400 (stream: %p)", async (stream) => {
  const h = harness();
  const long = "x".repeat(5_000);
  for (
    const [path, body, param] of [
      [CHAT, { messages: [{ role: "user", content: long }] }, "messages"],
      [COMPLETIONS, { prompt: long }, "prompt"],
    ] as const
  ) {
    const response = await h.post(path, { ...body, stream });
    expect(response.status).toBe(400);
    const { error } = await answerOf(response);
    expect(error).toMatchObject({ code: "context_length_exceeded", param, n_ctx: 4_096 });
  }
  expect(h.services.engine.requests).toEqual([]);
});

test.each(["http://127.0.0.1:PORT/x.png", "file:///etc/passwd"])(
  "an image part is refused and never fetched: %s",
  async (url) => {
    let asked = 0;
    const canary = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => {
        asked++;
        return new Response("");
      },
    });
    const part = { type: "image_url", image_url: { url: url.replace("PORT", `${canary.port}`) } };
    const response = await harness().post(CHAT, {
      messages: [{ role: "user", content: [{ type: "text", text: "What is it?" }, part] }],
    });
    expect(response.status).toBe(400);
    const { error } = await answerOf(response);
    expect(error.param).toBe("messages[0].content[1].type");
    expect(error.message).toContain("text only");
    expect(asked).toBe(0);
    await canary.stop(true);
  },
);

test("unknown fields, templates and nulls are ignored", async () => {
  const response = await harness().post(CHAT, {
    messages: hello,
    ...{ chat_template: "{{ 1 }}", chat_template_kwargs: { a: 1 }, user: "u", metadata: {} },
    ...{ store: false, service_tier: "auto", reasoning_effort: "low", verbosity: "low" },
    ...{ modalities: ["text"], whatever: [1], temperature: null, stop: null, tools: null },
    ...{ stream_options: null, response_format: { type: "text" }, max_tokens: null },
  });
  expect(response.status).toBe(200);
});

test("numbers outside their ranges are refused, all others taken", async () => {
  const h = harness({ answer: [] });
  const ranges = { temperature: [0, 100], top_p: [0, 1], presence_penalty: [-2, 2] } as const;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("temperature", "top_p", "presence_penalty"),
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -200, max: 200 }),
      async (name, value) => {
        const [least, most] = ranges[name];
        const isIn = value >= least && value <= most && !(name === "top_p" && value === 0);
        const { status } = await h.post(CHAT, { messages: hello, [name]: value });
        expect(status).toBe(isIn ? 200 : 400);
      },
    ),
    { numRuns: 60 },
  );
});

test("how long an output may become", async () => {
  const h = harness();
  const asked = async (fields: object) => {
    await h.post(COMPLETIONS, { prompt: [1, 2, 3], ...fields });
    const request = h.services.engine.requests.at(-1);
    if (request?.kind !== "generate") throw new Error("not a generation");
    const { maxTokens, attention } = request;
    return [maxTokens, attention];
  };
  expect(await asked({})).toEqual([4_093, undefined]);
  expect(await asked({ max_tokens: 7 })).toEqual([7, undefined]);
  expect(await asked({ max_tokens: 1e12 })).toEqual([4_093, undefined]);
  const stream = true;
  expect(await asked({ stream, max_tokens: -1 })).toEqual([undefined, { sinks: 4, window: 4_091 }]);
  expect(await asked({ max_tokens: -1 }))
    .toEqual([limits.plainAnswerParts, { sinks: 4, window: 4_091 }]);
  expect(await asked({ stream, max_tokens: -1, window: 100 }))
    .toEqual([undefined, { sinks: 4, window: 100 }]);
  expect(await asked({ stream, max_tokens: 1e6, sinks: 2, window: 64 }))
    .toEqual([1e6, { sinks: 2, window: 64 }]);
  expect(await asked({ window: 4_095 })).toEqual([4_093, { sinks: 0, window: 4_095 }]);
});

test("salts keep keys and clients apart", async () => {
  const h = harness();
  await h.post(COMPLETIONS, { prompt: "x" });
  await h.post(COMPLETIONS, { prompt: "x", cache_salt: "mine" });
  const [a, b] = h.services.engine.requests.map((r) => r.kind === "generate" && r.cacheSalt);
  expect(a).toBeTruthy();
  expect(b).toBe(`${a}:mine`);
});
