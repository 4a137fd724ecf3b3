/** POST /v1/completions over a fake engine. */

import { expect, test } from "bun:test";
import type { EndEvent } from "../../../src/engine/events.ts";
import { byteText, EOS } from "../fake-services.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, choicesOf, COMPLETIONS, events, type Harness, harness } from "./harness.ts";

test("a plain answer", async () => {
  const h = harness({ answer: spell("ab") });
  const { id, ...rest } = await answerOf(await h.post(COMPLETIONS, { prompt: "Hi" }));
  expect(id).toStartWith("cmpl-");
  expect(rest as unknown).toEqual({
    object: "text_completion",
    created: 1_790_000_123,
    model: "arctic/test",
    system_fingerprint: "arctic-0.0.0-test",
    choices: [{ index: 0, text: "ab", logprobs: null, finish_reason: "stop" }],
    usage: {
      prompt_tokens: 3,
      completion_tokens: 2,
      total_tokens: 5,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
  });
});

test.each(
  [
    ["texts", ["a", "b"], [[256, 97], [256, 98]]],
    ["ids", [5, 6], [[5, 6]]],
    ["lists of ids", [[5], [6, 7]], [[5], [6, 7]]],
    ["an empty text", "", [[256]]],
  ] as const,
)("%s as prompts", async (_, prompt, tokens) => {
  const h = harness({ answer: spell("x") });
  const { choices, usage } = await answerOf(await h.post(COMPLETIONS, { prompt, n: 2, seed: 1 }));
  const asked = h.services.engine.requests.map((r) => [...r.tokens]);
  expect(asked).toEqual(tokens.flatMap((own) => [[...own], [...own]]));
  expect(choices.map(({ index }) => index)).toEqual(asked.map((_, index) => index));
  const seeds = h.services.engine.requests.map((r) => r.kind === "generate" && r.sampling.seed);
  expect(seeds).toEqual(tokens.flatMap(() => [1, 2]));
  expect(usage.prompt_tokens).toBe(tokens.flat().length);
});

test("a stream of two prompts", async () => {
  const h = harness({ answer: spell("ab"), tokenMs: 1 });
  const body = { prompt: ["x", "y"], stream: true, stream_options: { include_usage: true } };
  const all = await events(await h.post(COMPLETIONS, body));
  expect(all.at(-1)?.data).toBe("[DONE]");
  const chunks = all.slice(0, -1).map(({ data }) => JSON.parse(data));
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
  for (const index of [0, 1]) {
    const own = chunks.flatMap(({ choices }) => choices).filter((c) => c.index === index);
    expect(own.map(({ text }) => text)).toEqual(["a", "b", ""]);
    expect(own.map(({ finish_reason }) => finish_reason)).toEqual([null, null, "stop"]);
  }
  expect(
    chunks.slice(0, -1).every(({ usage, object }) =>
      usage === null && object === "text_completion"
    ),
  ).toBe(true);
});

test("echo puts the prompt and its log-probabilities in front", async () => {
  const h = harness({ answer: spell("é!") });
  const body = { prompt: "añ", echo: true, logprobs: 0 };
  const { choices } = await answerOf(await h.post(COMPLETIONS, body));
  expect(choices[0]?.text).toBe("añé!");
  const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]?.logprobs ?? {};
  // BOS has no text; a token is a byte, and the last one of a character carries it.
  expect(tokens?.slice(0, 4)).toEqual(["", "a", "", "ñ"]);
  expect(token_logprobs?.slice(0, 4)).toEqual([null, -1, -2, -3]);
  expect(top_logprobs?.slice(0, 2)).toEqual([null, { a: -1 }]);
  expect(text_offset?.slice(0, 5)).toEqual([0, 0, 1, 1, 2]);
  const streamed = await choicesOf(await h.post(COMPLETIONS, { ...body, stream: true }));
  expect(streamed[0]?.text).toBe("añ");
  expect(streamed.map(({ text }) => text).join("")).toBe("añé!");
  expect(streamed.flatMap(({ logprobs }) => logprobs?.text_offset ?? []))
    .toEqual(text_offset ?? []);
});

test("max_tokens 0 with echo scores the prompt and generates nothing", async () => {
  const h = harness();
  const body = { prompt: "ab", echo: true, logprobs: 1, max_tokens: 0 };
  const { choices, usage } = await answerOf(await h.post(COMPLETIONS, body));
  expect(choices[0]).toMatchObject({ text: "ab", finish_reason: "length" });
  expect(choices[0]?.logprobs?.tokens).toEqual(["", "a", "b"]);
  expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 0 });
  expect(h.services.engine.requests.map(({ kind }) => kind)).toEqual(["score"]);
  expect(h.app.admission.choices).toBe(0);
});

test("logprobs 0 tells the chosen token alone", async () => {
  const h = harness({ answer: spell("a") });
  const { choices } = await answerOf(await h.post(COMPLETIONS, { prompt: "x", logprobs: 0 }));
  expect(choices[0]?.logprobs as unknown).toEqual({
    tokens: ["a"],
    token_logprobs: [-0.25],
    top_logprobs: [{ a: -0.25 }],
    text_offset: [0],
  });
});

/** Ends come with a drawn token, as the engine tells them to whom it tells log-probabilities. */
function withEndToken(h: Harness, endToken: EndEvent["endToken"]): void {
  const { engine } = h.services;
  const submit = engine.submit.bind(engine);
  engine.submit = async function* (request, signal) {
    const isTold = request.kind === "generate" && request.logprobs !== undefined;
    for await (const event of submit(request, signal)) {
      yield event.type === "end" && isTold && endToken ? { ...event, endToken } : event;
    }
  };
}

const eos = { token: EOS, logprob: -0.5, top: [{ token: EOS, logprob: -0.5 }] };

test("an end token drawn at once is one entry after those of the prompt", async () => {
  const h = harness({ answer: [] });
  withEndToken(h, eos);
  const body = { prompt: "añ", echo: true, logprobs: 1, max_tokens: 1, temperature: 0 };
  const { choices, usage } = await answerOf(await h.post(COMPLETIONS, body));
  expect(choices[0]).toMatchObject({ text: "añ", finish_reason: "stop" });
  const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]?.logprobs ?? {};
  expect(tokens).toEqual(["", "a", "", "ñ", ""]);
  expect(token_logprobs).toEqual([null, -1, -2, -3, -0.5]);
  expect(top_logprobs?.at(-1)).toEqual({ "": -0.5 });
  expect(text_offset).toEqual([0, 0, 1, 1, 2]);
  expect(usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0 });
});

test.each([true, false])(
  "a stream with echo %p has the end token in its last chunk",
  async (echo) => {
    const h = harness({ answer: spell("hi") });
    withEndToken(h, eos);
    const body = { prompt: "ab", echo, logprobs: 0, n: 2 };
    const whole = (await answerOf(await h.post(COMPLETIONS, body))).choices;
    const streamed = await choicesOf(await h.post(COMPLETIONS, { ...body, stream: true }));
    for (const index of [0, 1]) {
      const own = streamed.filter((choice) => choice.index === index);
      expect(own.at(-1)).toMatchObject({ text: "", finish_reason: "stop" });
      expect(own.at(-1)?.logprobs as unknown).toMatchObject({
        tokens: [""],
        token_logprobs: [-0.5],
        text_offset: [echo ? 4 : 2],
      });
      for (const name of ["tokens", "token_logprobs", "top_logprobs", "text_offset"]) {
        expect(own.flatMap(({ logprobs }) => logprobs?.[name] ?? []))
          .toEqual(whole[index]?.logprobs?.[name] ?? []);
      }
      expect(whole[index]?.logprobs?.tokens?.join("")).toBe(whole[index]?.text ?? "");
    }
  },
);

test("a stop token that could be spelled is told without text, in best_of too", async () => {
  const h = harness({ answer: spell("ab"), matched: 122 });
  withEndToken(h, { token: 122, logprob: -3, top: [{ token: 122, logprob: -3 }] });
  const body = { prompt: "p", n: 1, best_of: 3, stop_token_ids: [122] };
  const { choices } = await answerOf(await h.post(COMPLETIONS, { ...body, logprobs: 1 }));
  expect(choices[0]).toMatchObject({ text: "ab", stop_reason: 122 });
  expect(choices[0]?.logprobs as unknown).toMatchObject({
    tokens: ["a", "b", ""],
    token_logprobs: [-0.25, -0.25, -3],
    text_offset: [0, 1, 2],
  });
  expect(choices[0]?.logprobs?.top_logprobs?.at(-1)).toEqual({ "": -3 });
  const silent = await answerOf(await h.post(COMPLETIONS, body));
  expect(silent.choices[0]?.logprobs).toBeNull();
});

test("the echo of a prompt without text has its entries", async () => {
  const h = harness({ answer: spell("a") });
  const body = { prompt: "", echo: true, logprobs: 0, max_tokens: 1 };
  const { choices } = await answerOf(await h.post(COMPLETIONS, body));
  expect(choices[0]?.logprobs).toMatchObject({ tokens: ["", "a"], token_logprobs: [null, -0.25] });
});

test("best_of tells the likeliest and counts all", async () => {
  const h = harness({ answer: (r) => spell("x".repeat(r.sampling.seed)) });
  const engine = h.services.engine;
  const submit = engine.submit.bind(engine);
  engine.submit = async function* (request, signal) {
    const seed = request.kind === "generate" ? request.sampling.seed : 0;
    for await (const event of submit(request, signal)) {
      yield event.type === "token" ? { ...event, logprob: -Math.abs(seed - 3) } : event;
    }
  };
  const body = { prompt: "p", best_of: 4, n: 2, seed: 1 };
  const { choices, usage } = await answerOf(await h.post(COMPLETIONS, body));
  expect(choices.map(({ text, index }) => [index, text])).toEqual([[0, "xxx"], [1, "xx"]]);
  expect(choices[0]?.logprobs).toBeNull();
  expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 10 });
});

test("a model without a tokenizer takes and gives ids", async () => {
  const answer = [{ token: 7, text: "" }, { token: 8, text: "" }];
  const h = harness({ answer }, { text: undefined });
  const { choices } = await answerOf(await h.post(COMPLETIONS, { prompt: [1] }));
  expect(choices[0]).toMatchObject({ text: "", token_ids: [7, 8] });
  const streamed = await choicesOf(await h.post(COMPLETIONS, { prompt: [1], stream: true }));
  expect(streamed.map(({ token_ids }) => token_ids)).toEqual([[7], [8], []]);
  for (const body of [{ prompt: "x" }, { prompt: [1], echo: true }, { prompt: [1], logprobs: 1 }]) {
    expect((await h.post(COMPLETIONS, body)).status).toBe(400);
  }
});

test("dry_sequence_breakers and penalties reach the engine", async () => {
  const h = harness(undefined, { text: byteText });
  await h.post(COMPLETIONS, {
    prompt: "x",
    ...{ dry_multiplier: 0.8, dry_sequence_breakers: ["\n", "ab"], penalty_last_n: 64 },
    ...{ repetition_penalty: 1.1, logit_bias: { "5": -100 }, top_k: -1, stop: "END" },
  });
  expect(h.services.engine.requests[0]).toMatchObject({
    stop: ["END"],
    sampling: {
      topK: 0,
      logitBias: new Map([[5, -100]]),
      penalties: {
        repetition: 1.1,
        lastTokens: 64,
        dry: { multiplier: 0.8, base: 1.75, allowedLength: 2, breakers: new Set([10, 98]) },
      },
    },
  });
});
