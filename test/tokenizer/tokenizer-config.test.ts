import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { parseTokenizerConfig } from "../../src/tokenizer/tokenizer-config.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import {
  addedToken,
  buildModel,
  END,
  json,
  SMALL,
  smallConfig,
  START,
} from "./small-vocabulary.ts";

const model = buildModel({ pieces: SMALL });

function codeOf(config: Uint8Array): string | undefined {
  try {
    Tokenizer.load({ model, config });
  } catch (error) {
    return errorCode(error) ?? `not an ArcticError: ${String(error)}`;
  }
  return undefined;
}

function withTokens(tokens: Record<string, unknown>): Record<string, unknown> {
  const start = { [START]: addedToken("<|im_start|>"), [END]: addedToken("<|im_end|>") };
  return smallConfig({ added_tokens_decoder: { ...start, ...tokens } });
}

describe("tokenizer_config.json", () => {
  test("names BOS, EOS and the special tokens", () => {
    const tokenizer = Tokenizer.load({ model, config: json(smallConfig()) });
    expect(tokenizer.bosToken).toBe(START);
    expect(tokenizer.eosToken).toBe(END);
    expect(tokenizer.vocabularySize).toBe(SMALL.length);
    const special = Array.from({ length: SMALL.length }, (_, id) => id)
      .filter((id) => tokenizer.isSpecial(id));
    expect(special).toEqual([0, 1, 2, START, END]);
    expect(tokenizer.tokenText(START)).toBe("<|im_start|>");
  });

  test("without the file, BOS and EOS are the model's own", () => {
    const tokenizer = Tokenizer.load({ model });
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([1, 2]);
    expect(tokenizer.encode("the")[0]).toBe(1);
  });

  test("tokens may be appended after the vocabulary", () => {
    const config = withTokens({ [SMALL.length]: addedToken("<|tool|>") });
    const tokenizer = Tokenizer.load({ model, config: json(config) });
    expect(tokenizer.vocabularySize).toBe(SMALL.length + 1);
    expect(tokenizer.isSpecial(SMALL.length)).toBe(true);
    expect(tokenizer.encode("<|tool|>")).not.toContain(SMALL.length);
  });

  test("BOS and EOS may be objects, and null where there is none", () => {
    const config = smallConfig({ bos_token: addedToken("<|im_start|>"), eos_token: null });
    const tokenizer = Tokenizer.load({ model, config: json(config) });
    expect(tokenizer.bosToken).toBe(START);
    expect(tokenizer.eosToken).toBe(2);
  });

  test("of several templates the default one counts", () => {
    const templates = [{ name: "tool_use", template: "a" }, { name: "default", template: "b" }];
    expect(parseTokenizerConfig(json({ chat_template: templates })).chatTemplate).toBe("b");
  });

  test("legacy defaults to false for Arctic and to true for LlamaTokenizer", () => {
    const legacy = (config: unknown) => parseTokenizerConfig(json(config)).legacy;
    expect(legacy({})).toBe(false);
    expect(legacy({ tokenizer_class: "ArcticTokenizer" })).toBe(false);
    expect(legacy({ tokenizer_class: "LlamaTokenizer" })).toBe(true);
    expect(legacy({ tokenizer_class: "LlamaTokenizer", legacy: false })).toBe(false);
  });

  test("code of a repository is not read, let alone run", () => {
    expect(codeOf(json(smallConfig({ auto_map: { AutoTokenizer: ["evil.Tokenizer", null] } }))))
      .toBeUndefined();
  });

  const refused: [string, unknown, string][] = [
    ["a list", [], "tokenizer_config_invalid"],
    ["tokens as a list", smallConfig({ added_tokens_decoder: [] }), "tokenizer_config_invalid"],
    [
      "a token id of 1e9",
      withTokens({ "1000000000": addedToken("x") }),
      "tokenizer_config_invalid",
    ],
    ["a negative token id", withTokens({ "-1": addedToken("x") }), "tokenizer_config_invalid"],
    ["a token id of 1.5", withTokens({ "1.5": addedToken("x") }), "tokenizer_config_invalid"],
    ["a token id of 01", withTokens({ "01": addedToken("x") }), "tokenizer_config_invalid"],
    ["a hole in the ids", withTokens({ "9999": addedToken("x") }), "tokenizer_config_invalid"],
    ["an empty token", withTokens({ "1": addedToken("") }), "tokenizer_config_invalid"],
    ["a lone surrogate", withTokens({ "1": addedToken("\ud800") }), "tokenizer_config_invalid"],
    [
      "an overlong token",
      withTokens({ "1": addedToken("x".repeat(9_999)) }),
      "tokenizer_config_invalid",
    ],
    ["a token without content", withTokens({ "1": {} }), "tokenizer_config_invalid"],
    [
      "one content twice",
      withTokens({ "1": addedToken("<|im_end|>") }),
      "tokenizer_config_invalid",
    ],
    [
      "a flag that is no boolean",
      withTokens({ "1": addedToken("x", { special: 1 }) }),
      "tokenizer_config_invalid",
    ],
    [
      "a token that strips",
      withTokens({ "1": addedToken("x", { lstrip: true }) }),
      "tokenizer_unsupported",
    ],
    ["a redefined byte piece", withTokens({ "5": addedToken("x") }), "tokenizer_unsupported"],
    ["an unknown BOS", smallConfig({ bos_token: "<bos>" }), "tokenizer_config_invalid"],
    ["a BOS that is a number", smallConfig({ bos_token: 1 }), "tokenizer_config_invalid"],
    ["add_bos_token as text", smallConfig({ add_bos_token: "yes" }), "tokenizer_config_invalid"],
    ["EOS after every prompt", smallConfig({ add_eos_token: true }), "tokenizer_unsupported"],
    [
      "sampled tokenization",
      smallConfig({ sp_model_kwargs: { alpha: 1 } }),
      "tokenizer_unsupported",
    ],
    ["a template that is a number", smallConfig({ chat_template: 7 }), "tokenizer_config_invalid"],
    ["templates without a default", smallConfig({ chat_template: [] }), "tokenizer_config_invalid"],
  ];
  test.each(refused)("refuses %s", (_, config, code) => {
    expect(codeOf(json(config))).toBe(code);
  });

  test("refuses what is not UTF-8 JSON, and what is too large", () => {
    expect(codeOf(Uint8Array.of(0x7b, 0xff, 0x7d))).toBe("tokenizer_config_invalid");
    expect(codeOf(new TextEncoder().encode("{"))).toBe("tokenizer_config_invalid");
    expect(codeOf(new Uint8Array(limits.configBytes + 1))).toBe("tokenizer_too_large");
  });

  test("more special tokens than the limit are refused", () => {
    const tokens = Array.from(
      { length: limits.addedTokens + 1 },
      (_, id) => [id, { content: `${id}` }],
    );
    expect(codeOf(json({ added_tokens_decoder: Object.fromEntries(tokens) })))
      .toBe("tokenizer_config_invalid");
  });

  test("any JSON gives a tokenizer or a typed error", () => {
    const keys = fc.constantFrom(...Object.keys(smallConfig()));
    fc.assert(
      fc.property(keys, fc.jsonValue(), (key, value) => {
        const code = codeOf(json(smallConfig({ [key]: value })));
        if (code !== undefined) expect(code).toMatch(/^tokenizer_[a-z_]+$/);
      }),
      { numRuns: 1_000 },
    );
  });

  test("a folder without any tokenizer is told apart", () => {
    expect(() => Tokenizer.load({})).toThrow(
      expect.objectContaining({ code: "tokenizer_missing" }),
    );
  });
});
