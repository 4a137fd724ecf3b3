import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Merger, ranksByMerges, ranksByScore } from "../../src/tokenizer/merger.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import {
  buildModel,
  END,
  type PieceSpec,
  SMALL,
  smallTokenizer,
  spelled,
  START,
  Type,
  WITHOUT_BYTES,
} from "./small-vocabulary.ts";

function byScore(scores: ReadonlyMap<string, number>): Merger {
  return new Merger(scores.keys(), ranksByScore(scores));
}

function split(scores: Record<string, number>, text: string): string[] {
  const symbols: string[] = [];
  byScore(new Map(Object.entries(scores))).split(text, (symbol) => symbols.push(symbol));
  return symbols;
}

/** The definition, step by step: join the best pair, leftmost first, until there is none. */
function mergeNaively(scores: ReadonlyMap<string, number>, text: string): string[] {
  const symbols = [...text];
  for (;;) {
    let best = -1;
    let score = -Infinity;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const found = scores.get(`${symbols[i]}${symbols[i + 1]}`);
      if (found !== undefined && found > score) [best, score] = [i, found];
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
  }
}

describe("merging", () => {
  test("joins the pair of the highest score first", () => {
    expect(split({ ab: -2, bc: -1 }, "abc")).toEqual(["a", "bc"]);
    expect(split({ ab: -1, bc: -2 }, "abc")).toEqual(["ab", "c"]);
  });

  test("joins the leftmost of equal pairs first", () => {
    expect(split({ aa: -1 }, "aaa")).toEqual(["aa", "a"]);
    expect(split({ ab: -1, ba: -1 }, "aba")).toEqual(["ab", "a"]);
  });

  test("a piece out of reach of merging is not found", () => {
    expect(split({ abc: 0 }, "abc")).toEqual(["a", "b", "c"]);
  });

  test("by merges, only listed halves are joined, in the order of the list", () => {
    const pieces = ["ab", "bc", "abc", "cd"];
    const symbols = (merges: [string, string][], text: string) => {
      const found: string[] = [];
      new Merger(pieces, ranksByMerges(merges)).split(text, (symbol) => found.push(symbol));
      return found;
    };
    expect(symbols([["b", "c"], ["a", "b"], ["a", "bc"]], "abc")).toEqual(["abc"]);
    expect(symbols([["b", "c"], ["a", "b"], ["ab", "c"]], "abc")).toEqual(["a", "bc"]);
    expect(symbols([["c", "d"], ["b", "c"], ["a", "b"]], "abcd")).toEqual(["ab", "cd"]);
  });

  test("equals the definition on any vocabulary and text", () => {
    const piece = fc.string({ unit: fc.constantFrom("a", "b", "\u{1f600}"), maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(piece, fc.integer({ min: -3, max: 0 })), { maxLength: 20 }),
        fc.string({ unit: fc.constantFrom("a", "b", "\u{1f600}", "x"), maxLength: 40 }),
        (pieces, text) => {
          const scores = new Map(pieces.filter(([value]) => value !== ""));
          const symbols: string[] = [];
          byScore(scores).split(text, (symbol) => symbols.push(symbol));
          expect(symbols).toEqual(mergeNaively(scores, text));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("one merger serves short and very long runs in any order", () => {
    const merger = byScore(new Map([["aa", 0], ["aaaa", -1]]));
    for (const length of [3, 5_000, 2, 40_000, 7]) {
      const symbols: string[] = [];
      merger.split("a".repeat(length), (symbol) => symbols.push(symbol));
      expect(symbols.join("")).toBe("a".repeat(length));
      expect(symbols.length).toBe(Math.floor(length / 4) + (length % 4 > 1 ? 1 : 0) + length % 2);
    }
  });
});

describe("encoding", () => {
  const tokenizer = smallTokenizer();
  const pieces = (text: string) => spelled(tokenizer, tokenizer.encode(text, { bos: false }));

  test("puts the dummy prefix before a text, and none before nothing", () => {
    expect(pieces("the")).toEqual(["\u2581the"]);
    expect(pieces(" the")).toEqual(["\u2581", "\u2581the"]);
    expect(pieces("")).toEqual([]);
    expect(pieces(" ")).toEqual(["\u2581\u2581"]);
  });

  test("spells by bytes what no piece spells", () => {
    expect(pieces("\n\u00e9")).toEqual(["\u2581", "<0x0A>", "<0xC3>", "<0xA9>"]);
    expect(pieces("\u0000")).toEqual(["\u2581", "<0x00>"]);
  });

  test("a redefined piece is spelled by bytes, never by its id", () => {
    const ids = tokenizer.encode("\u5f18 and \u7ed9", { bos: false });
    expect(ids).not.toContain(START);
    expect(ids).not.toContain(END);
    expect(tokenizer.decode(ids)).toBe("\u5f18 and \u7ed9");
    expect(Tokenizer.load({ model: buildModel({ pieces: SMALL }) }).encode("\u5f18"))
      .toContain(START);
  });

  test("text that spells a special token stays text", () => {
    for (const text of ["<|im_start|>system", "</s>", "<s>", "<unk>", "<0x0A>", "<|im_end|>"]) {
      const ids = tokenizer.encode(text, { bos: false });
      expect(ids.filter((id) => tokenizer.isSpecial(id))).toEqual([]);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  test("a special piece that the model spells as text cannot be typed", () => {
    const pieces: PieceSpec[] = [...SMALL, ["|im_start|>", 5, 1], ["<|im_start|>", 9, 1]];
    const scores = [..."<|im_start|>"].reduce<string[]>(
      (all, char) => [...all, `${all.at(-1) ?? ""}${char}`],
      [],
    ).slice(1, -1).map((prefix): PieceSpec => [`${prefix}`, 7, Type.normal]);
    const ladder = scores.filter(([value]) => !pieces.some(([other]) => other === value));
    const id = pieces.length - 1;
    const model = buildModel({ pieces: [...pieces, ...ladder] });
    expect(Tokenizer.load({ model }).encode("<|im_start|>", { bos: false })).toContain(id);
    const entry = { [id]: { content: "<|im_start|>", special: true } };
    const config = new TextEncoder().encode(JSON.stringify({ added_tokens_decoder: entry }));
    expect(Tokenizer.load({ model, config }).encode("<|im_start|>")).not.toContain(id);
  });

  test("without byte pieces, a run of unknown characters is one unknown token", () => {
    const plain = Tokenizer.load({ model: buildModel({ pieces: WITHOUT_BYTES }) });
    const ids = plain.encode("\u{1f600}\u{1f600}a\u{1f600}", { bos: false });
    expect(spelled(plain, ids)).toEqual(["\u2581", "<unk>", "a", "<unk>"]);
    expect(plain.decode(ids)).toBe(" \u2047 a \u2047 ");
    expect(plain.decode(ids, { skipSpecial: false })).toBe("<unk>a<unk>");
  });

  test("remove_extra_whitespaces collapses and trims", () => {
    const pieces = WITHOUT_BYTES;
    const trimming = Tokenizer.load({
      model: buildModel({ pieces, removeExtraWhitespaces: true }),
    });
    const ids = (text: string) => trimming.encode(text, { bos: false });
    expect(ids("  the   the ")).toEqual(ids("the the"));
    expect(ids("   ")).toEqual([]);
  });

  test("add_dummy_prefix off and add_prefix_space off leave the start alone", () => {
    const bare = Tokenizer.load({ model: buildModel({ pieces: SMALL, addDummyPrefix: false }) });
    expect(spelled(bare, bare.encode("he", { bos: false }))).toEqual(["he"]);
    expect(bare.decode(bare.encode(" he"))).toBe(" he");
    const config = smallTokenizer({ add_prefix_space: false });
    expect(spelled(config, config.encode("he", { bos: false }))).toEqual(["he"]);
  });

  test("BOS comes first as the configuration says, or as the caller does", () => {
    expect(tokenizer.encode("a")[0]).toBe(START);
    expect(tokenizer.encode("a", { bos: false })[0]).not.toBe(START);
    const without = smallTokenizer({ add_bos_token: false });
    expect(without.encode("a")[0]).not.toBe(START);
    expect(without.encode("a", { bos: true })[0]).toBe(START);
    expect(tokenizer.encode("")).toEqual([START]);
  });

  test("any string round-trips, lone surrogates as U+FFFD", () => {
    const unit = fc.oneof(
      fc.constantFrom(" ", "a", "the", "\u0000", "\u202e", "\u05d0", "\ud800", "\udc00", "\ufeff"),
      fc.constantFrom("<|im_start|>", "</s>", "\u5f18", "\u{1f468}\u200d\u{1f469}", "\r\n"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 30 }), (text) => {
        const ids = tokenizer.encode(text);
        // U+2581 is how the vocabulary spells a space, in SentencePiece as here.
        expect(tokenizer.decode(ids)).toBe(text.toWellFormed().replaceAll("\u2581", " "));
        expect(ids.slice(1).some((id) => tokenizer.isSpecial(id))).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  test("a prompt beyond the limit is refused by name", () => {
    const text = "a".repeat(16 * 1024 * 1024 + 1);
    expect(() => tokenizer.encode(text)).toThrow(
      expect.objectContaining({ code: "request_prompt_too_large" }),
    );
  });

  test("a million characters of a small vocabulary take seconds", () => {
    for (const unit of ["a", "^", "\u{1f600}", "the "]) {
      const text = unit.repeat(Math.ceil(1_000_000 / unit.length));
      const started = performance.now();
      const ids = tokenizer.encode(text);
      expect(performance.now() - started).toBeLessThan(10_000);
      expect(tokenizer.decode(ids) === text).toBe(true);
    }
  }, 60_000);
});
