/** Tokens told with their log-probabilities are the text, whatever held the text back. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { EngineEvent } from "../../../src/engine/events.ts";
import { StopMatcher } from "../../../src/engine/stop.ts";
import { Choice, plainText } from "../../../src/server/generate/choice.ts";
import type { Delta } from "../../../src/server/generate/delta.ts";
import { CompletionChoice } from "../../../src/server/generate/completion-format.ts";
import { floored, LogprobAligner } from "../../../src/server/generate/logprobs.ts";

/** A vocabulary in which characters are split over tokens, and tokens over characters. */
const pieces: readonly Uint8Array[] = [
  ...["a", "b", "ab", "END", "E", "ND!", " ", "é", "x日"].map((text) =>
    new TextEncoder().encode(text)
  ),
  ...[[0xe6], [0x97], [0xa5], [0xf0, 0x9f], [0x98, 0x80], []].map((own) => Uint8Array.from(own)),
];
const tokenBytes = (id: number): Uint8Array => pieces[id] ?? new Uint8Array(0);

/** What an engine says: text as soon as it is whole characters and no beginning of a stop text. */
function* say(tokens: readonly number[], stops: readonly string[]): Generator<EngineEvent> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const matcher = new StopMatcher(stops);
  const end = (text: string, matched?: string): EngineEvent => ({
    type: "end",
    finishReason: "stop",
    ...(matched === undefined ? {} : { matched }),
    text,
    usage: { promptTokens: 1, completionTokens: tokens.length, cachedTokens: 0 },
    timings: {
      ...{ queueMs: 0, prefillMs: 0, decodeMs: 0 },
      ...{ prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 },
    },
  });
  for (const token of tokens) {
    const found = matcher.push(decoder.decode(tokenBytes(token), { stream: true }));
    yield { type: "token", token, text: found.text, logprob: -token, top: [] };
    if (found.stop !== undefined) return yield end("", found.stop);
  }
  const last = matcher.push(decoder.decode());
  yield last.stop === undefined ? end(last.text + matcher.flush()) : end(last.text, last.stop);
}

function deltasOf(tokens: readonly number[], stops: readonly string[]): Delta[] {
  const choice = new Choice({ ...plainText, tokenBytes, randomId: () => "id" });
  return [...say(tokens, stops)].flatMap((event) => choice.accept(event));
}

const tokens = fc.array(fc.nat(pieces.length - 1), { maxLength: 24 });

test("joined, the tokens of an answer are its text, and no chunk is empty", () => {
  fc.assert(
    fc.property(tokens, fc.constantFrom([], ["END"], ["é"], ["ab", "日"]), (ids, stops) => {
      const deltas = deltasOf(ids, stops);
      const contents = deltas.filter((delta) => delta.type === "content");
      const text = contents.map((delta) => delta.text).join("");
      const entries = deltas.flatMap((delta) => "logprobs" in delta ? delta.logprobs : []);
      expect(entries.map(({ token }) => token).join("")).toBe(text);
      expect(contents.every((delta) => delta.text !== "")).toBe(true);
      expect(entries.map(({ id }) => id)).toEqual(ids.slice(0, entries.length));
      if (deltas.every((d) => d.type !== "finish" || d.finish.stop_reason === undefined)) {
        expect(entries.length).toBe(ids.length);
      }
      expect(deltas.at(-1)?.type).toBe("finish");
    }),
    { numRuns: 500 },
  );
});

test("an end token's entry is the last of a text completion, and none of its text", () => {
  const endToken = { token: 1, logprob: -0.5, top: [] };
  fc.assert(
    fc.property(tokens, fc.constantFrom([], ["END"], ["é"]), (ids, stops) => {
      const choice = new CompletionChoice({ echo: undefined, tokenBytes, hasText: true });
      const said = [...say(ids, stops)].map((event) =>
        event.type === "end" && event.matched === undefined ? { ...event, endToken } : event
      );
      const pieces = said.flatMap((event) => choice.accept(event));
      const entries = pieces.flatMap(({ logprobs }) => logprobs);
      const isEnded = "endToken" in (said.at(-1) ?? {});
      expect(entries.map(({ token }) => token).join(""))
        .toBe(pieces.map(({ text }) => text).join(""));
      if (!isEnded) return;
      expect(pieces.at(-1)?.logprobs.at(-1)).toMatchObject({ id: 1, token: "", logprob: -0.5 });
      expect(entries).toHaveLength(ids.length + 1);
    }),
    { numRuns: 300 },
  );
});

test("an entry comes no later than the text that completes it", () => {
  fc.assert(
    fc.property(tokens, (ids) => {
      const bytes = ids.flatMap((id) => [...tokenBytes(id)]);
      fc.pre(!new TextDecoder().decode(Uint8Array.from(bytes)).includes("\ufffd"));
      let shown = "";
      let told = "";
      for (const delta of deltasOf(ids, [])) {
        if (delta.type !== "content") continue;
        shown += delta.text;
        told += delta.logprobs.map(({ token }) => token).join("");
        expect(told).toBe(shown);
      }
    }),
    { numRuns: 200 },
  );
});

test("a first token's space that the text does not show is not told", () => {
  const aligner = new LogprobAligner(() => new TextEncoder().encode(" Hi"));
  aligner.push(1, -1, []);
  const [entry] = aligner.take("Hi");
  expect([entry?.token, [...entry?.bytes ?? []]]).toEqual(["Hi", [72, 105]]);
});

test.each([[-Infinity, -9999], [-1e9, -9999], [NaN, -9999], [-1.5, -1.5], [0, 0]])(
  "%p is told as %p",
  (logprob, told) => expect(floored(logprob)).toBe(told),
);
