/** Texts of any length become the tokens that the tokenizer gives, and nobody waits for a long one. */

import { afterAll, describe, expect, test } from "bun:test";
import { defined } from "../../src/assert.ts";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { TokenizerText } from "../../src/server/text-service.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { mainThreadWaited } from "../support/own-time.ts";
import { buildModel, json, SMALL, smallConfig } from "../tokenizer/small-vocabulary.ts";

const files = { model: buildModel({ pieces: SMALL }), config: json(smallConfig()) };
const tokenizer = Tokenizer.load(files);
const text = new TokenizerText(files);
afterAll(() => text.close());

const sizes = { short: 100, long: limits.inlineTextBytes + 1 } as const;

describe.each(Object.entries(sizes))("a %s text", (_, size) => {
  const words = "hello world ".repeat(Math.ceil(size / 12));
  const messages = [{ role: "user", content: words }];

  test("is encoded, with and without BOS", async () => {
    expect(await text.encode(words)).toEqual(tokenizer.encode(words));
    for (const bos of [true, false]) {
      expect(await text.encode(words, { bos })).toEqual(tokenizer.encode(words, { bos }));
    }
  });

  test("is a chat, rendered or encoded", async () => {
    expect(await text.encodeChat(messages)).toEqual(tokenizer.encodeChat(messages));
    expect(await text.renderChat(messages)).toBe(tokenizer.renderChat(messages));
    expect(await text.renderChat(messages)).toContain(words);
  });

  test("is decoded", async () => {
    const ids = tokenizer.encode(words);
    expect(await text.decode(ids)).toBe(tokenizer.decode(ids));
  });

  test("an error has its code", async () => {
    const ids = Array.from({ length: size }, () => 1);
    const error = await text.decode([...ids, 1.5]).catch((reason) => reason);
    expect(errorCode(error)).toBe("request_token_invalid");
    const chat = [{ role: "canary", content: words }];
    const here = outcome(() => tokenizer.encodeChat(chat));
    expect<unknown>(await text.encodeChat(chat).catch(errorCode)).toEqual(here);
  });
});

function outcome<T>(work: () => T): T | string | undefined {
  try {
    return work();
  } catch (error) {
    return errorCode(error);
  }
}

test("what a token adds can be asked without the service", () => {
  const { tokenBytes } = text;
  const ids = tokenizer.encode("hello");
  expect(ids.map((id) => tokenBytes(id))).toEqual(ids.map((id) => tokenizer.tokenBytes(id)));
  const { specialText } = text;
  const bos = defined(tokenizer.bosToken ?? undefined, "BOS");
  expect(specialText(bos)).toBe(tokenizer.tokenText(bos));
  expect(specialText(bos)).not.toBe("");
  expect(ids.slice(-1).map((id) => specialText(id))).toEqual([""]);
});

test("a rendered chat spells the special tokens that its ids are", () => {
  const messages = [{ role: "user", content: "hello" }];
  const rendered = tokenizer.renderChat(messages);
  const specials = tokenizer.encodeChat(messages).filter((id) => tokenizer.isSpecial(id));
  expect(specials.length).toBeGreaterThan(0);
  for (const id of specials) expect(rendered).toContain(tokenizer.tokenText(id));
});

test("a text of 1 MB holds nobody up", async () => {
  const long = "hello world ".repeat(87_382);
  await text.encode(long); // the thread is up
  let worst = 0, before = performance.now(), waitedBefore = mainThreadWaited();
  const probe = setInterval(() => {
    const now = performance.now();
    const waited = mainThreadWaited();
    worst = Math.max(worst, now - before - (waited - waitedBefore) - 2);
    before = now;
    waitedBefore = waited;
  }, 2);
  const start = performance.now();
  const ids = await text.encode(long);
  const took = performance.now() - start;
  await text.encodeChat([{ role: "user", content: long }]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  clearInterval(probe);
  expect(ids.length).toBeGreaterThan(100_000);
  // Encoded in this thread it would have been held up for all of it, on any machine.
  expect(worst).toBeLessThan(took / 3);
});

test("long texts that wait are bounded in number", async () => {
  const long = "x".repeat(limits.inlineTextBytes + 1);
  const all = Array.from(
    { length: limits.textsWaiting + 3 },
    () => text.encode(long).then(() => "done", errorCode),
  );
  const outcomes = await Promise.all(all);
  expect(outcomes.filter((each) => each === "done").length).toBe(limits.textsWaiting);
  expect(outcomes.filter((each) => each === "engine_queue_full").length).toBe(3);
  expect(await text.encode(long)).toEqual(tokenizer.encode(long));
});

test("closing fails what waits, and the next text has a new thread", async () => {
  const service = new TokenizerText(files);
  const long = "x".repeat(limits.inlineTextBytes + 1);
  // Much longer than until it is closed, also on a busy machine.
  const waiting = service.encode("hello world ".repeat(500_000)).then(() => "done", errorCode);
  await new Promise((resolve) => setTimeout(resolve));
  service.close();
  expect(await waiting).toBe("tokenizer_thread");
  expect((await service.encode(long)).length).toBe(tokenizer.encode(long).length);
  service.close();
});
