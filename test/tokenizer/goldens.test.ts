/** Llama-2's vocabulary, read from beside the checkout: SentencePiece and Transformers themselves. */

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { addedToken, CHATML, json } from "./small-vocabulary.ts";

const folder = new URL("../../../shared/tokenizer/", import.meta.url);
const cases = new URL("../../../shared/cases/", import.meta.url);
const present = existsSync(folder);
if (!present) console.warn("Skipped: the tokenizer goldens are not beside the checkout.");

interface Goldens {
  texts: { text: string; plain: number[]; decoded: string }[];
  chats: { messages: { role: string; content: string }[]; hf: number[]; llamacpp: number[] }[];
}

function read(name: string): Uint8Array {
  return readFileSync(new URL(name, folder));
}

function goldens(): Goldens {
  return JSON.parse(new TextDecoder().decode(read("goldens.json")));
}

function arcticConfig(more: Record<string, unknown> = {}): Uint8Array {
  return json({
    bos_token: "<|im_start|>",
    eos_token: "<|im_end|>",
    tokenizer_class: "ArcticTokenizer",
    added_tokens_decoder: {
      "31998": addedToken("<|im_start|>"),
      "31999": addedToken("<|im_end|>"),
    },
    chat_template: CHATML,
    ...more,
  });
}

describe.skipIf(!present)("Llama-2's vocabulary", () => {
  const model = present ? read("llama2.model") : new Uint8Array(0);

  test("encodes and decodes as SentencePiece does", () => {
    const tokenizer = Tokenizer.load({ model });
    const { texts } = goldens();
    expect(texts.length).toBeGreaterThan(30);
    for (const { text, plain, decoded } of texts) {
      expect(tokenizer.encode(text, { bos: false })).toEqual(plain);
      expect(tokenizer.decode(plain)).toBe(decoded);
    }
  });

  test("encodes llama.cpp's test strings", () => {
    const tokenizer = Tokenizer.load({ model });
    const decode = (name: string) => new TextDecoder().decode(read(name));
    const name = "ggml-vocab-llama-spm.gguf";
    const texts = decode(`${name}.inp`).split("\n__ggml_vocab_test__\n");
    const lines = decode(`${name}.out`).split("\n");
    expect(texts.length).toBeGreaterThan(40);
    for (const [index, text] of texts.entries()) {
      const ids = (lines[index] ?? "").split(" ").filter(Boolean).map(Number);
      expect(tokenizer.encode(text, { bos: false })).toEqual(ids);
    }
  });

  test("renders conversations as Transformers does, with and without legacy", () => {
    const modern = Tokenizer.load({ model, config: arcticConfig() });
    const legacy = Tokenizer.load({ model, config: arcticConfig({ legacy: true }) });
    for (const { messages, hf, llamacpp } of goldens().chats) {
      expect(modern.encodeChat(messages)).toEqual(hf);
      expect(legacy.encodeChat(messages)).toEqual(llamacpp);
    }
  });

  test("Arctic's reused characters fall back to bytes, and BOS comes first", () => {
    const tokenizer = Tokenizer.load({ model, config: arcticConfig() });
    const ids = tokenizer.encode("\u5f18\u7ed9");
    expect(ids).toEqual([31998, 29871, 232, 191, 155, 234, 190, 156]);
    expect(tokenizer.decode(ids)).toBe("\u5f18\u7ed9");
    expect(tokenizer.encode("Hello world")).toEqual([31998, 15043, 3186]);
    expect(tokenizer.bosToken).toBe(31998);
    expect(tokenizer.eosToken).toBe(31999);
    expect(tokenizer.vocabularySize).toBe(32000);
  });

  test("a million characters take seconds, not hours", () => {
    const tokenizer = Tokenizer.load({ model });
    for (const unit of ["a", "^", "\u{1f600}"]) {
      const text = unit.repeat(Math.ceil(1_000_000 / unit.length));
      const started = performance.now();
      const ids = tokenizer.encode(text, { bos: false });
      expect(performance.now() - started).toBeLessThan(10_000);
      expect(tokenizer.decode(ids) === text).toBe(true);
    }
  }, 60_000);

  test("pieces joined after a prompt are what decoding everything adds", () => {
    const tokenizer = Tokenizer.load({ model, config: arcticConfig() });
    for (const { text } of goldens().texts) {
      const prompt = tokenizer.encodeChat([{ role: "user", content: text }]);
      const answer = tokenizer.encode(` ${text} \u{1f999} ok`, { bos: false });
      const stream = tokenizer.detokenizer(prompt);
      const joined = answer.map((id) => stream.push(id)).join("") + stream.flush();
      const whole = tokenizer.decode([...prompt, ...answer]);
      expect(tokenizer.decode(prompt) + joined).toBe(whole);
      expect(joined.startsWith("  ")).toBe(true);
    }
  });
});

describe.skipIf(!existsSync(cases))("the reference cases", () => {
  test.each(["arctic-a", "arctic-b", "arctic-s", "llama"])("%s loads and round-trips", (name) => {
    const file = (part: string) => readFileSync(new URL(`${name}/${part}`, cases));
    const tokenizer = Tokenizer.load({
      model: file("tokenizer.model"),
      config: file("tokenizer_config.json"),
    });
    const text = "the cat and the hat, in a sentence.";
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    const bos = name.startsWith("arctic") ? tokenizer.vocabularySize - 2 : 1;
    expect(tokenizer.encode(text)[0]).toBe(bos);
  });

  test("a vocabulary without byte pieces writes a run of unknown text as one token", () => {
    const file = (part: string) => readFileSync(new URL(`arctic-a/${part}`, cases));
    const tokenizer = Tokenizer.load({ model: file("tokenizer.model") });
    expect(tokenizer.encode("a\u4f60\u597da", { bos: false }).filter((id) => id === 0)).toEqual([
      0,
    ]);
  });
});
