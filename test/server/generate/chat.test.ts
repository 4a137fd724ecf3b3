/** POST /v1/chat/completions over a fake engine: the wire, byte by byte where it matters. */

import { expect, test } from "bun:test";
import { ArcticError } from "../../../src/errors.ts";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, events, harness, hello } from "./harness.ts";

const idle = (h: ReturnType<typeof harness>) => {
  expect(h.services.engine.active).toBe(0);
  expect(h.app.admission.choices).toBe(0);
};

test("a plain answer", async () => {
  const h = harness({ answer: spell("Hello"), cachedTokens: 2 });
  const response = await h.post(CHAT, { model: "arctic/test", messages: hello });
  expect(response.status).toBe(200);
  expect(response.headers.get("x-request-id")).toBeTruthy();
  const prompt = "[user]Hi\n[assistant]".length + 1;
  const { id, ...rest } = await answerOf(response);
  expect(id).toStartWith("chatcmpl-");
  expect(rest as unknown).toEqual({
    object: "chat.completion",
    created: 1_790_000_123,
    model: "arctic/test",
    system_fingerprint: "arctic-0.0.0-test",
    choices: [{
      index: 0,
      message: { role: "assistant", content: "Hello", refusal: null },
      logprobs: null,
      finish_reason: "stop",
    }],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: 5,
      total_tokens: prompt + 5,
      prompt_tokens_details: { cached_tokens: 2 },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
  });
  idle(h);
});

test("a stream, byte by byte", async () => {
  const h = harness({ answer: spell("Hé") });
  const response = await h.post(CHAT, {
    messages: hello,
    stream: true,
    stream_options: { include_usage: true, include_obfuscation: false },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  const text = await response.text();
  const id = /^data: \{"id":"(chatcmpl-\w+)"/m.exec(text)?.[1];
  const head = `{"id":"${id}","object":"chat.completion.chunk","created":1790000123,` +
    `"model":"arctic/test","system_fingerprint":"arctic-0.0.0-test","choices":[`;
  const choice = (delta: string, finish: string) =>
    `${head}{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}],"usage":null}`;
  const usage = `"usage":{"prompt_tokens":21,"completion_tokens":2,"total_tokens":23,` +
    `"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`;
  const data = [
    choice(`{"role":"assistant","content":""}`, "null"),
    choice(`{"content":"H"}`, "null"),
    choice(`{"content":"é"}`, "null"),
    choice("{}", `"stop"`),
    `${head}],${usage}`,
    "[DONE]",
  ];
  expect(text).toBe(": prefill 21/21\n" + data.map((line) => `data: ${line}\n\n`).join(""));
  idle(h);
});

test("choices interleave by index, each begun and finished once, each with its seed", async () => {
  const h = harness({ answer: spell("abc"), tokenMs: 1 });
  const body = { messages: hello, n: 3, seed: 40, stream: true };
  const chunks = (await events(await h.post(CHAT, body))).slice(0, -1).map(({ data }) =>
    JSON.parse(data).choices[0]
  );
  for (const index of [0, 1, 2]) {
    const own = chunks.filter((choice) => choice.index === index);
    expect(own[0].delta).toEqual({ role: "assistant", content: "" });
    expect(own.map(({ delta }) => delta.content ?? "").join("")).toBe("abc");
    expect(own.filter(({ finish_reason }) => finish_reason !== null)).toEqual([own.at(-1)]);
  }
  const seeds = h.services.engine.requests.map((r) => r.kind === "generate" && r.sampling.seed);
  expect(seeds).toEqual([40, 41, 42]);
  const plain = await answerOf(await h.post(CHAT, { ...body, stream: false }));
  expect(plain.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(plain.usage).toMatchObject({ prompt_tokens: 21, completion_tokens: 9 });
  idle(h);
});

test("text that is held back makes no empty chunk", async () => {
  const answer = [{ token: 1, text: "" }, { token: 2, text: "ab" }, { token: 3, text: "" }];
  const h = harness({ answer });
  const all = await events(await h.post(CHAT, { messages: hello, stream: true }));
  const deltas = all.slice(0, -1).map(({ data }) => JSON.parse(data).choices[0].delta);
  expect(deltas).toEqual([{ role: "assistant", content: "" }, { content: "ab" }, {}]);
});

test.each(
  [
    ["length", undefined, { finish_reason: "length" }],
    ["loop", undefined, { finish_reason: "stop", stop_reason: "loop" }],
    ["stop", "END", { finish_reason: "stop", stop_reason: "END" }],
    ["stop", 7, { finish_reason: "stop", stop_reason: 7 }],
  ] as const,
)("an end by %s, matching %p", async (finishReason, matched, shown) => {
  const h = harness({
    answer: spell("x"),
    finishReason,
    ...(matched === undefined ? {} : { matched }),
  });
  const { choices } = await answerOf(await h.post(CHAT, { messages: hello }));
  const { finish_reason, stop_reason } = choices[0] ?? {};
  expect({ finish_reason, ...(stop_reason === undefined ? {} : { stop_reason }) }).toEqual(shown);
});

test("a failure before the first token has its HTTP status, also for a stream", async () => {
  const error = new ArcticError("engine_numerical_error", "Layer 3 gave NaN.");
  const h = harness({ answer: spell("abc"), failure: { after: 0, error } });
  for (const stream of [false, true]) {
    const response = await h.post(CHAT, { messages: hello, stream });
    expect(response.status).toBe(500);
    expect((await answerOf(response)).error.code).toBe("numerical_error");
  }
  idle(h);
});

test("a failure within a stream is its last event, without [DONE]", async () => {
  const error = new ArcticError("device_lost", "The device was lost.");
  const h = harness({ answer: spell("abc"), failure: { after: 2, error } });
  const all = await events(await h.post(CHAT, { messages: hello, stream: true }));
  expect(all.map(({ data }) => data)).not.toContain("[DONE]");
  const last = JSON.parse(all.at(-1)?.data ?? "");
  expect(Object.keys(last)).toEqual(["error"]);
  expect(last.error).toMatchObject({ type: "server_error", code: "not_ready", param: null });
  idle(h);
});

test("an end that nobody asked for is a failure", async () => {
  const h = harness({ answer: spell("abc"), finishReason: "cancelled" });
  expect((await h.post(CHAT, { messages: hello })).status).toBe(503);
  const all = await events(await h.post(CHAT, { messages: hello, stream: true }));
  expect(JSON.parse(all.at(-1)?.data ?? "").error.code).toBe("not_ready");
});

test("log-probabilities stand on the chunk of their token, and are no less than -9999", async () => {
  const h = harness({ answer: spell("ab") });
  const body = { messages: hello, logprobs: true, top_logprobs: 2 };
  const { choices } = await answerOf(await h.post(CHAT, body));
  expect(choices[0]?.logprobs as unknown).toEqual({
    content: [
      {
        token: "a",
        logprob: -0.25,
        bytes: [97],
        top_logprobs: [
          { token: "a", logprob: -0.25, bytes: [97] },
          { token: "b", logprob: -1.25, bytes: [98] },
        ],
      },
      {
        token: "b",
        logprob: -0.25,
        bytes: [98],
        top_logprobs: [
          { token: "b", logprob: -0.25, bytes: [98] },
          { token: "c", logprob: -1.25, bytes: [99] },
        ],
      },
    ],
    refusal: null,
  });
  const none = await answerOf(await h.post(CHAT, { messages: hello, logprobs: true }));
  expect(none.choices[0]?.logprobs?.content?.[0]).toMatchObject({ top_logprobs: [] });
  const all = await events(await h.post(CHAT, { ...body, stream: true }));
  const chunks = all.slice(1, 3).map(({ data }) => JSON.parse(data).choices[0]);
  expect(chunks.map(({ logprobs }) => logprobs.content[0].token)).toEqual(["a", "b"]);
});

test.each([false, true])("leaving ends every choice (stream: %p)", async (stream) => {
  const h = harness({ answer: spell("abc"), endless: true, tokenMs: 2 });
  const controller = new AbortController();
  const body = { messages: hello, n: 4, stream, max_tokens: -1 };
  const pending = h.post(CHAT, body, { signal: controller.signal });
  if (stream) {
    const reader = (await pending).body?.getReader();
    await reader?.read();
    await reader?.cancel();
  } else {
    await until(() => h.services.engine.active === 4);
    controller.abort();
    await pending.catch(() => {});
  }
  await until(() => h.services.engine.cancelled === 4);
  idle(h);
  const metrics = await (await h.get("/metrics")).text();
  expect(metrics).toContain('arctic:request_success_total{finished_reason="cancelled"} 4');
});

test("a reader that stops reading stops the engine", async () => {
  const h = harness({ answer: spell("abc"), endless: true });
  const response = await h.post(CHAT, { messages: hello, stream: true, max_tokens: -1 });
  const reader = response.body?.getReader();
  for (let i = 0; i < 5; i++) await reader?.read();
  const before = h.services.engine.generatedTokens;
  await Bun.sleep(20);
  expect(h.services.engine.generatedTokens).toBe(before);
  expect(before).toBeLessThan(10);
  await reader?.cancel();
});

test("the default system message, developer messages, parts and tool results", async () => {
  const h = harness();
  const model = { ...h.services.model, defaultSystem: "Be brief." };
  const seen: string[] = [];
  const text = {
    ...(h.services.text ?? (() => {
      throw new Error("no text");
    })()),
    encodeChat: (messages: readonly { role: string; content: string }[]) => {
      seen.push(messages.map(({ role, content }) => `${role}:${content}`).join("|"));
      return Promise.resolve([1]);
    },
  };
  const given = harness(undefined, { model, text });
  await given.post(CHAT, { messages: hello });
  await given.post(CHAT, { messages: [{ role: "developer", content: "D" }, ...hello] });
  await given.post(CHAT, {
    messages: [
      {
        role: "user",
        content: [{ type: "text", text: "a" }, { type: "text", text: "b" }],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "1", content: "r1" },
      { role: "tool", content: "r2" },
    ],
  });
  expect(seen).toEqual([
    "system:Be brief.|user:Hi",
    "system:D|user:Hi",
    'system:Be brief.|user:ab|assistant:<tool_call>{"name": "f", "arguments": {}}</tool_call>|' +
    "user:<tool_response>r1</tool_response>\n<tool_response>r2</tool_response>",
  ]);
});
