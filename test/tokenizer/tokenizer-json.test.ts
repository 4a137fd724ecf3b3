import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import { byteAlphabet } from "../../src/tokenizer/byte-alphabet.ts";
import { checkPattern } from "../../src/tokenizer/pattern-check.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import {
  addedToken,
  buildModel,
  END,
  json,
  SMALL,
  smallConfig,
  smallTokenizer,
  START,
  Type,
} from "./small-vocabulary.ts";

type Json = Record<string, unknown>;

/** The small vocabulary as tokenizer.json spells it: every way to halve a piece is a merge. */
function smallJson(more: Json = {}, model: Json = {}): Json {
  const known = new Set(SMALL.map(([text]) => text));
  const merges = SMALL.filter(([, , type]) => type === Type.normal).flatMap(([text]) => {
    const chars = [...text];
    return chars.slice(1)
      .map((_, i) => [chars.slice(0, i + 1).join(""), chars.slice(i + 1).join("")])
      .filter(([left, right]) => known.has(left ?? "") && known.has(right ?? ""));
  });
  return {
    added_tokens: [
      { id: 0, ...addedToken("<unk>") },
      { id: 1, ...addedToken("<s>") },
      { id: 2, ...addedToken("</s>") },
    ],
    normalizer: null,
    pre_tokenizer: {
      type: "Metaspace",
      replacement: "\u2581",
      prepend_scheme: "first",
      split: false,
    },
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "\u2581" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(SMALL.map(([text], id) => [text, id])),
      merges,
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      ...model,
    },
    ...more,
  };
}

const PATTERN =
  "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** A byte-level vocabulary with one merge and one special token. */
function byteLevelJson(more: Json = {}, pattern = PATTERN): Json {
  const vocab = Object.fromEntries([...byteAlphabet, "th", "the"].map((text, id) => [text, id]));
  return {
    added_tokens: [{ id: 258, ...addedToken("<|end|>") }],
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|end|>", type_id: 0 } }, { Sequence: { id: "A" } }],
    },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: ["t h", "th e"] },
    ...more,
  };
}

function codeOf(file: Uint8Array, config?: Uint8Array): string | undefined {
  try {
    Tokenizer.load({ json: file, config });
  } catch (error) {
    return errorCode(error) ?? `not an ArcticError: ${String(error)}`;
  }
  return undefined;
}

describe("tokenizer.json", () => {
  const config = json(smallConfig());
  const fast = Tokenizer.load({ json: json(smallJson()), config });
  const slow = smallTokenizer();

  test("gives the ids that tokenizer.model gives", () => {
    const unit = fc.constantFrom(
      "the",
      "and",
      " ",
      "a",
      "\n",
      "user",
      "\u00e9",
      "<|im_end|>",
      "\u5f18",
    );
    // Where a text begins with a space, the two kinds of file put the dummy prefix differently.
    const text = fc.string({ unit, maxLength: 20 }).filter((value) => !value.startsWith(" "));
    fc.assert(fc.property(text, (value) => {
      expect(fast.encode(value)).toEqual(slow.encode(value));
      expect(fast.decode(fast.encode(value))).toBe(value);
    }));
  });

  test("renders conversations as tokenizer.model does", () => {
    const messages = [{ role: "user", content: "the <|im_start|> and" }];
    expect(fast.encodeChat(messages)).toEqual(slow.encodeChat(messages));
  });

  test("tokenizer.model wins where both are present", () => {
    const both = Tokenizer.load({ model: buildModel({ pieces: SMALL }), json: json({}), config });
    expect(both.encode("the")).toEqual(slow.encode("the"));
  });

  test("text that spells special tokens stays text", () => {
    for (const text of ["</s>", "<s>", "<|im_start|>system", "<unk>", "\u5f18\u7ed9"]) {
      const ids = fast.encode(text, { bos: false });
      expect(ids.some((id) => fast.isSpecial(id) || id === START || id === END)).toBe(false);
      expect(fast.decode(ids)).toBe(text);
    }
  });

  test("a byte-level vocabulary round-trips any text and starts with its BOS", () => {
    const tokenizer = Tokenizer.load({
      json: json(byteLevelJson()),
      config: json({ bos_token: "<|end|>" }),
    });
    expect(tokenizer.encode("the the")).toEqual(
      [258, 257, 220, 257].map((id) => id === 220 ? byteAlphabet.indexOf("\u0120") : id),
    );
    expect(tokenizer.encode("<|end|>", { bos: false })).not.toContain(258);
    fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
      const text = value.toWellFormed().normalize("NFC");
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }));
  });

  test("a million characters take seconds", () => {
    for (const text of ["a".repeat(1_000_000), "the ".repeat(250_000)]) {
      const started = performance.now();
      expect(fast.decode(fast.encode(text)) === text).toBe(true);
      expect(performance.now() - started).toBeLessThan(10_000);
    }
  }, 60_000);

  const vocab = (changes: Json) => {
    const base = smallJson()["model"];
    const old = typeof base === "object" && base !== null && "vocab" in base ? base.vocab : {};
    return smallJson({}, { vocab: { ...(old as Json), ...changes } });
  };
  const split = (pattern: Json) => ({
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern, behavior: "Isolated" }, { type: "ByteLevel" }],
  });
  const refused: [string, Json, string][] = [
    ["a unigram model", smallJson({}, { type: "Unigram" }), "tokenizer_unsupported"],
    ["no model", smallJson({ model: null }), "tokenizer_config_invalid"],
    ["a token id of 1e9", vocab({ x1: 1e9 }), "tokenizer_config_invalid"],
    ["a token id of 1.5", vocab({ x1: 1.5 }), "tokenizer_config_invalid"],
    ["a negative token id", vocab({ x1: -1 }), "tokenizer_config_invalid"],
    ["a token id that is text", vocab({ x1: "7" }), "tokenizer_config_invalid"],
    ["one id for two tokens", vocab({ x1: 5 }), "tokenizer_config_invalid"],
    ["a hole in the ids", vocab({ x1: SMALL.length + 5 }), "tokenizer_config_invalid"],
    ["merges of nothing", smallJson({}, { merges: [["", "a"]] }), "tokenizer_config_invalid"],
    ["a merge of three", smallJson({}, { merges: ["a b c"] }), "tokenizer_config_invalid"],
    ["a merge of unknown tokens", smallJson({}, { merges: ["a qq"] }), "tokenizer_config_invalid"],
    [
      "cyclic merges",
      smallJson({}, { merges: ["a b", "ab a", "aba b"] }),
      "tokenizer_config_invalid",
    ],
    ["merges that are an object", smallJson({}, { merges: {} }), "tokenizer_config_invalid"],
    [
      "an end-of-word suffix",
      smallJson({}, { end_of_word_suffix: "</w>" }),
      "tokenizer_unsupported",
    ],
    ["an unknown normalizer", smallJson({ normalizer: { type: "Nmt" } }), "tokenizer_unsupported"],
    [
      "a normalizer with a regular expression",
      smallJson({ normalizer: { type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" } }),
      "tokenizer_unsupported",
    ],
    [
      "an unknown pre-tokenizer",
      smallJson({ pre_tokenizer: { type: "X" } }),
      "tokenizer_unsupported",
    ],
    ["a pre-tokenizer without type", smallJson({ pre_tokenizer: {} }), "tokenizer_unsupported"],
    [
      "a sequence in a sequence",
      smallJson({ pre_tokenizer: { type: "Sequence", pretokenizers: [split({})] } }),
      "tokenizer_unsupported",
    ],
    [
      "more steps than the limit",
      smallJson({ normalizer: { type: "Sequence", normalizers: Array(99).fill({ type: "NFC" }) } }),
      "tokenizer_config_invalid",
    ],
    ["an unknown decoder", smallJson({ decoder: { type: "CTC" } }), "tokenizer_unsupported"],
    ["an exponential pattern", byteLevelJson({}, "(a+)+$"), "tokenizer_pattern_refused"],
    ["an overlong pattern", byteLevelJson({}, "a".repeat(2_000)), "tokenizer_pattern_refused"],
    ["a broken pattern", byteLevelJson({}, "[a"), "tokenizer_config_invalid"],
    [
      "bytes that are missing",
      byteLevelJson({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }),
      "tokenizer_config_invalid",
    ],
    [
      "an added token of id 1e9",
      smallJson({ added_tokens: [{ id: 1e9, ...addedToken("x") }] }),
      "tokenizer_config_invalid",
    ],
  ];
  test.each(refused)("refuses %s", (_, file, code) => {
    expect(codeOf(json(file))).toBe(code);
  });

  test("refuses a special token that takes away a byte", () => {
    const taken = { id: byteAlphabet.indexOf("a"), ...addedToken("<|a|>") };
    expect(codeOf(json(byteLevelJson({ added_tokens: [taken] })))).toBe("tokenizer_config_invalid");
  });

  test("names of Object.prototype are tokens like any other", () => {
    const more = '"__proto__":' + SMALL.length + ',"constructor":' + (SMALL.length + 1) + ",";
    const text = JSON.stringify(smallJson()).replace('"vocab":{', '"vocab":{' + more);
    const tokenizer = Tokenizer.load({ json: new TextEncoder().encode(text) });
    expect(tokenizer.tokenText(SMALL.length)).toBe("__proto__");
    expect(tokenizer.vocabularySize).toBe(SMALL.length + 2);
    expect(tokenizer.decode(tokenizer.encode("constructor __proto__"))).toBe(
      "constructor __proto__",
    );
  });

  test("random and mutated files give only typed errors", () => {
    const text = JSON.stringify(smallJson());
    const cut = fc.tuple(fc.nat({ max: text.length }), fc.nat({ max: 40 }), fc.string())
      .map(([at, length, insert]) => text.slice(0, at) + insert + text.slice(at + length));
    const part = fc.constantFrom("normalizer", "pre_tokenizer", "decoder", "model", "added_tokens");
    const value = fc.tuple(part, fc.jsonValue())
      .map(([key, replacement]) => JSON.stringify(smallJson({ [key]: replacement })));
    fc.assert(
      fc.property(fc.oneof(cut, value, fc.string()), (file) => {
        const code = codeOf(new TextEncoder().encode(file));
        if (code !== undefined) expect(code).toMatch(/^tokenizer_[a-z_]+$/);
      }),
      { numRuns: 300 },
    );
  });
});

describe("patterns", () => {
  test.each([
    PATTERN,
    "'s|'t| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}]*[\\p{Ll}\\p{M}]+(?i:'s|'t)?|\\p{N}{1,3}",
    "\\d{1,3}(?=(?:\\d{3})*\\b)",
    "[a-z\\]]+|(x)?",
  ])("%s passes", (pattern) => {
    expect(() => checkPattern(pattern, "a file")).not.toThrow();
  });

  test.each([
    "(a+)+$",
    "(a*)*",
    "(a|aa)+$",
    "(?:a?){30}a",
    "((a+)b?)*",
    "(?:\\s|x{2,})*y",
    "(a)\\1+",
    "(?<x>a)\\k<x>",
    "(?<=a+)b",
    "(?<!a)b",
    "a)",
    "x".repeat(2_000),
  ])("%s is refused", (pattern) => {
    expect(() => checkPattern(pattern, "a file")).toThrow(
      expect.objectContaining({ code: "tokenizer_pattern_refused" }),
    );
  });
});
