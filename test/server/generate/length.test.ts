/** How large an answer may become that is not streamed, and which window an output gets. */

import { describe, expect, test } from "bun:test";
import { slices } from "../../../src/server/generate/completion-format.ts";
import { lengthFor } from "../../../src/server/generate/length.ts";
import { plainBound, unbounded } from "../../../src/server/generate/plain-answer.ts";
import type { ServerSettings } from "../../../src/server/settings.ts";
import { limits } from "../../../src/limits.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, choicesOf, COMPLETIONS, harness, hello } from "./harness.ts";

/** Tokens that an answer may have with 20 likeliest tokens each. */
const all = Math.floor(
  limits.plainAnswerParts / (limits.plainLogprobParts + 20 * limits.plainLikeliestParts),
);

/** What the engine is asked for, or the refusal. */
async function asked(path: string, fields: object, settings: Partial<ServerSettings> = {}) {
  const h = harness({ answer: [] }, {}, settings);
  const prompt = path === CHAT ? { messages: hello } : { prompt: [1, 2, 3] };
  const response = await h.post(path, { ...prompt, ...fields });
  if (response.status !== 200) return { error: (await answerOf(response)).error };
  const requests = h.services.engine.requests.filter((each) => each.kind === "generate");
  const [{ maxTokens, attention } = {}] = requests;
  return { choices: requests.length, maxTokens, attention };
}

const maxTokens = async (path: string, fields: object) => (await asked(path, fields)).maxTokens;

describe("an answer that is not streamed", () => {
  test("is bounded as a whole, log-probabilities included", async () => {
    const chat = { logprobs: true, top_logprobs: 20 };
    expect(await maxTokens(CHAT, { max_tokens: -1, ...chat })).toBe(all);
    expect(await maxTokens(CHAT, { max_tokens: -1, n: 8, ...chat })).toBe(Math.floor(all / 8));
    expect(await maxTokens(CHAT, { max_tokens: -1, n: 8 })).toBe(limits.plainAnswerParts / 8);
    expect(await maxTokens(COMPLETIONS, { max_tokens: -1, logprobs: 20 })).toBe(all);
    const several = { prompt: [[1], [2], [3]], n: 2, best_of: 4, max_tokens: -1 };
    expect(await asked(COMPLETIONS, { ...several, logprobs: 20 }))
      .toMatchObject({ choices: 12, maxTokens: Math.floor(all / 12) });
    const echoed = { echo: true, n: 2, logprobs: 20, max_tokens: -1 };
    expect(await maxTokens(COMPLETIONS, echoed)).toBe(Math.floor((all - 6) / 2));
  });

  test("without max_tokens it ends there, too, and a stream does not", async () => {
    expect(await maxTokens(COMPLETIONS, { logprobs: 20 })).toBe(all);
    expect(await maxTokens(COMPLETIONS, { logprobs: 20, window: 9 })).toBe(all);
    expect(await maxTokens(COMPLETIONS, {})).toBe(4_093);
    expect(await maxTokens(COMPLETIONS, { logprobs: 20, stream: true })).toBe(4_093);
    const endless = { logprobs: 20, stream: true, max_tokens: -1 };
    expect(await asked(COMPLETIONS, endless)).toMatchObject({ maxTokens: undefined });
    const long = { logprobs: 20, stream: true, max_tokens: 1e6, window: 9 };
    expect(await maxTokens(COMPLETIONS, long)).toBe(1e6);
  });

  test("a number beyond the bound is refused with the bound and the way out", async () => {
    const logprobs = { logprobs: true, top_logprobs: 20 };
    for (
      const [fields, param, bound] of [
        [{ max_tokens: all + 1 }, "max_tokens", `${all} tokens`],
        [{ max_tokens: 1_000, n: 8 }, "max_tokens", `${Math.floor(all / 8)} for each choice`],
        [{ max_completion_tokens: 1e6 }, "max_completion_tokens", `${all} tokens`],
      ] as const
    ) {
      const { error } = await asked(CHAT, { ...fields, ...logprobs });
      expect(error).toMatchObject({ param, code: "invalid_value" });
      expect(error?.message).toContain(bound);
      expect(error?.message).toContain("`stream: true`");
    }
    expect(await maxTokens(CHAT, { max_tokens: all, ...logprobs })).toBe(all);
    // The number that was given, not what the context leaves of it.
    const { error } = await asked(CHAT, { max_tokens: 1e6, ...logprobs });
    expect(error?.message).toContain("max_tokens asks for 1000000");
    const wide = { max_tokens: limits.plainAnswerParts + 1, window: 9 };
    expect((await asked(COMPLETIONS, wide)).error?.param).toBe("max_tokens");
    // The context has room for less: no more can come of it.
    expect(await maxTokens(COMPLETIONS, { max_tokens: 1e12 })).toBe(4_093);
  });

  test("echoed prompts that are too long by themselves are refused", async () => {
    const prompt = Array.from({ length: all + 1 }, () => 5);
    for (const max_tokens of [0, 1]) {
      const { error } = await asked(COMPLETIONS, { prompt, echo: true, logprobs: 20, max_tokens });
      expect(error?.param).toBe("echo");
      expect(error?.message).toContain(`${all + 1}`);
    }
    expect(() => plainBound({ choices: 0, logprobs: 20, echoed: all })).not.toThrow();
    expect(await maxTokens(COMPLETIONS, { prompt, echo: true, max_tokens: 1 })).toBe(1);
  });

  test("a long echo is the same in turns as at once", async () => {
    const length = 2 * limits.echoTurnTokens + 5;
    const body = {
      ...{ prompt: Array.from({ length }, (_, at) => 97 + at % 26), max_tokens: 3 },
      ...{ echo: true, logprobs: 1 },
    };
    const h = harness({ answer: spell("xyz") });
    const { choices: [whole] } = await answerOf(await h.post(COMPLETIONS, body));
    const pieces = await choicesOf(await h.post(COMPLETIONS, { ...body, stream: true }));
    expect(whole?.text).toHaveLength(length + 3);
    expect(pieces.map(({ text }) => text).join("")).toBe(whole?.text as string);
    expect(pieces.filter(({ logprobs }) => (logprobs?.["tokens"]?.length ?? 0) > 1).length).toBe(3);
    for (const key of ["tokens", "token_logprobs", "top_logprobs", "text_offset"]) {
      expect(whole?.logprobs?.[key]).toHaveLength(length + 3);
      expect(whole?.logprobs?.[key]).toEqual(
        pieces.flatMap(({ logprobs }) => logprobs?.[key] ?? []),
      );
    }
    const entry = { id: 1, token: "a", bytes: new Uint8Array(1), logprob: 0, top: [] };
    const piece = { text: "aaaaa", tokenIds: [], finish: undefined };
    const cut = [...slices({ ...piece, logprobs: Array.from({ length: 5 }, () => entry) }, 2)];
    expect(cut.map(({ logprobs }) => logprobs.length)).toEqual([2, 2, 1]);
    expect(cut.map(({ text }) => text).join("")).toBe("aaaaa");
  });
});

describe("a window", () => {
  const stream = true;
  const attention = async (fields: object, settings?: Partial<ServerSettings>) =>
    (await asked(COMPLETIONS, { stream, ...fields }, settings)).attention;

  test("what is not given gives way to what is", async () => {
    const own = { sinks: 4, window: 60 };
    expect(await attention({ max_tokens: -1 }, own)).toEqual({ sinks: 4, window: 60 });
    expect(await attention({ sinks: 10 }, own)).toEqual({ sinks: 10, window: 54 });
    expect(await attention({ sinks: 2 }, own)).toEqual({ sinks: 2, window: 60 });
    expect(await attention({ window: 62 }, own)).toEqual({ sinks: 2, window: 62 });
    expect(await attention({ window: 64 }, own)).toEqual({ sinks: 0, window: 64 });
    expect(await attention({ window: 20 }, own)).toEqual({ sinks: 4, window: 20 });
    expect(await attention({ sinks: 10 })).toEqual({ sinks: 10, window: 4_085 });
    // A server's window that fills the context leaves none of it to the usual sinks.
    expect(await attention({ max_tokens: -1 }, { window: 4_095 }))
      .toEqual({ sinks: 0, window: 4_095 });
    expect(await attention({ max_tokens: -1 }, { sinks: 9 })).toEqual({ sinks: 9, window: 4_086 });
  });

  test("what does not fit is told in the terms of the request", async () => {
    const own = { sinks: 4, window: 60 };
    const refusal = async (fields: object) => {
      const { error } = await asked(COMPLETIONS, { stream, ...fields }, own);
      return [error?.param, error?.message];
    };
    const rest = "more than this server has: sinks and window together may be at most 64 tokens, " +
      "the window at least 1 of them.";
    expect(await refusal({ sinks: 5_000 })).toEqual(["sinks", `5000 sinks are ${rest}`]);
    expect(await refusal({ sinks: 64 })).toEqual(["sinks", `64 sinks are ${rest}`]);
    expect(await refusal({ window: 65 })).toEqual(["window", `A window of 65 tokens is ${rest}`]);
    expect(await refusal({ sinks: 5, window: 60 }))
      .toEqual(["window", `5 sinks and a window of 60 tokens are ${rest}`]);
  });

  test("a prompt past the context, a window and no max_tokens: one token", () => {
    const length = (value: number | undefined) =>
      lengthFor({ window: 9 }, { param: "max_tokens", value }, 5_000, 4_096, {}, unbounded);
    expect(length(undefined)).toEqual({ maxTokens: 1, attention: { sinks: 4, window: 9 } });
    expect(length(7).maxTokens).toBe(7);
  });
});
