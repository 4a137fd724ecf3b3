import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Utf8Stream } from "../../src/tokenizer/detokenizer.ts";
import { errorCode } from "../../src/errors.ts";
import { END, smallTokenizer, START } from "./small-vocabulary.ts";

const tokenizer = smallTokenizer();
const FIRST_BYTE = 3;

function byteIds(text: string): number[] {
  return [...new TextEncoder().encode(text)].map((byte) => FIRST_BYTE + byte);
}

describe("Utf8Stream", () => {
  test("agrees with TextDecoder on valid text, however it is cut", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 40 }),
        fc.integer({ min: 1, max: 5 }),
        (text, size) => {
          const bytes = new TextEncoder().encode(text.toWellFormed());
          const stream = new Utf8Stream();
          let joined = "";
          for (let at = 0; at < bytes.length; at += size) {
            joined += stream.push(bytes.subarray(at, at + size));
          }
          expect(stream.pending).toBe(false);
          expect(joined + stream.flush()).toBe(text.toWellFormed());
        },
      ),
    );
  });

  test.each([
    ["a lone continuation byte", [0x80], "\ufffd"],
    ["an overlong slash", [0xc0, 0xaf], "\ufffd\ufffd"],
    ["an overlong three-byte form", [0xe0, 0x80, 0xaf], "\ufffd\ufffd\ufffd"],
    ["a surrogate", [0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"],
    ["a code point past U+10FFFF", [0xf4, 0x90, 0x80, 0x80], "\ufffd\ufffd\ufffd\ufffd"],
    ["a byte that never occurs", [0xff, 0x41], "\ufffdA"],
    ["an unfinished character before text", [0xe2, 0x82, 0x41], "\ufffd\ufffdA"],
    ["an unfinished character before another", [0xf0, 0xc3, 0xa9], "\ufffd\u00e9"],
    ["the last code point", [0xf4, 0x8f, 0xbf, 0xbf], "\u{10ffff}"],
  ])("one U+FFFD for each byte of %s", (_, bytes, text) => {
    const stream = new Utf8Stream();
    expect(stream.push(Uint8Array.from(bytes)) + stream.flush()).toBe(text);
  });

  test("any bytes, cut anywhere, give the same text and hold back at most three bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const whole = new Utf8Stream();
        const expected = whole.push(bytes) + whole.flush();
        const stream = new Utf8Stream();
        let joined = "";
        for (const byte of bytes) joined += stream.push(Uint8Array.of(byte));
        const rest = stream.flush();
        expect(rest.length).toBeLessThanOrEqual(3);
        expect(joined + rest).toBe(expected);
        const decoded = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
        expect(expected.replaceAll("\ufffd", "")).toBe(decoded.replaceAll("\ufffd", ""));
      }),
    );
  });
});

describe("detokenizing", () => {
  test("a character split over four tokens appears with the fourth", () => {
    const stream = tokenizer.detokenizer([]);
    expect(byteIds("\u{1f999}").map((id) => stream.push(id))).toEqual(["", "", "", "\u{1f999}"]);
    expect(stream.flush()).toBe("");
  });

  test("U+FFFD appears only once it is certain", () => {
    const stream = tokenizer.detokenizer([]);
    expect(stream.push(FIRST_BYTE + 0xe2)).toBe("");
    expect(stream.push(FIRST_BYTE + 0x82)).toBe("");
    expect(stream.push(FIRST_BYTE + 0x41)).toBe("\ufffd\ufffdA");
    expect(stream.push(FIRST_BYTE + 0xe2)).toBe("");
    expect(stream.flush()).toBe("\ufffd");
  });

  test("the dummy prefix is dropped at the very start and nowhere else", () => {
    const [the] = tokenizer.encode("the", { bos: false });
    const ids = [the ?? -1, the ?? -1];
    expect(tokenizer.decode(ids)).toBe("the the");
    expect(tokenizer.detokenizer([START]).push(ids[0] ?? -1)).toBe("the");
    const prompt = tokenizer.encodeChat([{ role: "user", content: "he" }]);
    expect(tokenizer.detokenizer(prompt).push(ids[0] ?? -1)).toBe(" the");
    expect(tokenizer.detokenizer(tokenizer.encode("a")).push(ids[0] ?? -1)).toBe(" the");
  });

  test("the dropped space may be a token of its own", () => {
    expect(tokenizer.decode(tokenizer.encode("\n the"))).toBe("\n the");
    expect(tokenizer.decode(tokenizer.encode(" the"))).toBe(" the");
  });

  test("special tokens are invisible unless asked for", () => {
    const ids = tokenizer.encodeChat([{ role: "user", content: "the" }]);
    expect(tokenizer.decode(ids)).toBe("user\nthe\nassistant\n");
    expect(tokenizer.decode(ids, { skipSpecial: false }))
      .toBe("<|im_start|>user\nthe<|im_end|>\n<|im_start|>assistant\n");
  });

  test("a special token ends an unfinished character", () => {
    const stream = tokenizer.detokenizer([]);
    stream.push(FIRST_BYTE + 0xf0);
    expect(stream.push(END)).toBe("\ufffd");
    expect(stream.push(FIRST_BYTE + 0x9f)).toBe("\ufffd");
  });

  test("a character that the prompt leaves unfinished is completed", () => {
    const [first, ...rest] = byteIds("\u00e9");
    const stream = tokenizer.detokenizer([first ?? -1]);
    expect(rest.map((id) => stream.push(id))).toEqual(["\u00e9"]);
  });

  test("joined pieces are what decoding everything has beyond the prompt", () => {
    const text = fc.string({ unit: fc.constantFrom("the", " ", "a", "\u{1f600}", "\n", "\u00e9") });
    fc.assert(
      fc.property(text, text, fc.boolean(), (before, after, chat) => {
        const prompt = chat
          ? tokenizer.encodeChat([{ role: "user", content: before }])
          : tokenizer.encode(before);
        const answer = tokenizer.encode(after, { bos: false });
        const stream = tokenizer.detokenizer(prompt);
        const joined = answer.map((id) => stream.push(id)).join("") + stream.flush();
        expect(tokenizer.decode(prompt) + joined).toBe(tokenizer.decode([...prompt, ...answer]));
      }),
    );
  });

  test("any ids decode to the same text at once and one by one", () => {
    const id = fc.nat({ max: tokenizer.vocabularySize + 3 });
    fc.assert(
      fc.property(fc.array(id), fc.boolean(), (ids, skipSpecial) => {
        const stream = tokenizer.detokenizer([], { skipSpecial });
        const joined = ids.map((each) => stream.push(each)).join("") + stream.flush();
        expect(joined).toBe(tokenizer.decode(ids, { skipSpecial }));
        expect(joined.isWellFormed()).toBe(true);
      }),
    );
  });

  test("bytes of tokens, joined, are the text of a continuation", () => {
    const ids = tokenizer.encode("the \u{1f600} and\n", { bos: false });
    const bytes = Uint8Array.from(ids.flatMap((id) => [...tokenizer.tokenBytes(id)]));
    expect(new TextDecoder().decode(bytes)).toBe(" the \u{1f600} and\n");
    expect(tokenizer.tokenBytes(START)).toEqual(new Uint8Array(0));
  });

  test("padding ids have no text, and what is no id is refused", () => {
    expect(tokenizer.decode([tokenizer.vocabularySize + 7])).toBe("");
    expect(tokenizer.tokenBytes(tokenizer.vocabularySize)).toEqual(new Uint8Array(0));
    for (const id of [-1, 1.5, NaN, 2 ** 60]) {
      try {
        tokenizer.decode([id]);
        expect.unreachable();
      } catch (error) {
        expect(errorCode(error)).toBe("request_token_invalid");
      }
    }
  });
});
