/** Damaged and hostile tokenizer.model files: always one typed error, never a hang. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { parseSentencePiece } from "../../src/tokenizer/sentencepiece-model.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import {
  buildModel,
  field,
  float,
  message,
  piece,
  type PieceSpec,
  SMALL,
  text,
  Type,
  varint,
} from "./small-vocabulary.ts";

const BASE: PieceSpec[] = [["<unk>", 0, Type.unknown], ["<s>", 0, Type.control], ["a", 0, 1]];

function codeOf(file: Uint8Array): string | undefined {
  try {
    parseSentencePiece(file);
  } catch (error) {
    return errorCode(error) ?? `not an ArcticError: ${String(error)}`;
  }
  return undefined;
}

function bytes(...parts: (readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

const TRAINER = message(2, field(3, 0, [2]));

describe("tokenizer.model", () => {
  test("is read as it was written", () => {
    const file = parseSentencePiece(buildModel({ pieces: SMALL }));
    expect(file.pieces.length).toBe(SMALL.length);
    expect(file.pieces[SMALL.length - 1]).toEqual({
      text: "\u7ed9",
      score: SMALL.at(-1)?.[1] ?? 0,
      type: Type.normal,
    });
    expect(file).toMatchObject({
      unknownId: 0,
      bosId: 1,
      eosId: 2,
      byteFallback: true,
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    });
  });

  test("unknown fields are stepped over", () => {
    const extra = [...field(77, 0, varint(5)), ...field(78, 1, [1, 2, 3, 4, 5, 6, 7, 8])];
    const more = [...field(79, 5, [1, 2, 3, 4]), ...text(80, "note")];
    const model = buildModel({ pieces: BASE });
    expect(codeOf(bytes([...model], extra, more))).toBeUndefined();
  });

  const refused: [string, Uint8Array, string][] = [
    ["an empty file", new Uint8Array(0), "tokenizer_malformed"],
    ["settings without pieces", bytes(TRAINER), "tokenizer_malformed"],
    ["a key that is cut off", bytes([0x80]), "tokenizer_malformed"],
    ["a length that is cut off", bytes([0x0a, 0xff]), "tokenizer_malformed"],
    ["a length beyond the file", bytes([0x0a, ...varint(2 ** 40)]), "tokenizer_malformed"],
    ["a varint of eleven bytes", bytes([8, ...Array(10).fill(0xff), 1]), "tokenizer_malformed"],
    ["a group", bytes([0x0b]), "tokenizer_malformed"],
    ["field number 0", bytes([0x02, 0x00]), "tokenizer_malformed"],
    ["a piece of another wire type", bytes([0x08, 0x01]), "tokenizer_malformed"],
    [
      "a score that is cut off",
      bytes(message(1, [...text(1, "a"), 0x15, 0])),
      "tokenizer_malformed",
    ],
    ["a piece without text", bytes(message(1, float(2, 0)), TRAINER), "tokenizer_malformed"],
    ["an empty piece", bytes(piece(["", 0, 1]), TRAINER), "tokenizer_malformed"],
    ["a piece that is not UTF-8", bytes(message(1, message(1, [0xff]))), "tokenizer_malformed"],
    ["a score of NaN", bytes(piece(["a", NaN, 1]), TRAINER), "tokenizer_malformed"],
    ["piece type 9", bytes(piece(["a", 0, 9]), TRAINER), "tokenizer_malformed"],
    ["a byte piece that spells none", bytes(piece(["<0xZZ>", 0, 6])), "tokenizer_malformed"],
    ["a piece twice", buildModel({ pieces: [...BASE, ["a", 1, 1]] }), "tokenizer_malformed"],
    ["no unknown piece", buildModel({ pieces: [["a", 0, 1]] }), "tokenizer_malformed"],
    ["two unknown pieces", buildModel({ pieces: [...BASE, ["u", 0, 2]] }), "tokenizer_malformed"],
    ["one byte piece", buildModel({ pieces: [...BASE, ["<0x00>", 0, 6]] }), "tokenizer_malformed"],
    [
      "byte fallback without byte pieces",
      buildModel({ pieces: BASE, byteFallback: true }),
      "tokenizer_malformed",
    ],
    [
      "a piece beyond the limit",
      buildModel({ pieces: [...BASE, ["x".repeat(limits.tokenizerPieceBytes + 64), 0, 1]] }),
      "tokenizer_malformed",
    ],
    [
      "a user-defined piece",
      buildModel({ pieces: [...BASE, ["u", 0, 4]] }),
      "tokenizer_unsupported",
    ],
    ["an unused piece", buildModel({ pieces: [...BASE, ["u", 0, 5]] }), "tokenizer_unsupported"],
    ["a missing model type", bytes(piece(["a", 0, 1])), "tokenizer_unsupported"],
    [
      "spaces after words",
      buildModel({ pieces: BASE, whitespaceAsSuffix: true }),
      "tokenizer_unsupported",
    ],
    [
      "a normalizer",
      buildModel({ pieces: BASE, normalizerName: "nmt_nfkc" }),
      "tokenizer_unsupported",
    ],
    [
      "a character map",
      buildModel({ pieces: BASE, characterMap: Uint8Array.of(1, 2, 3) }),
      "tokenizer_unsupported",
    ],
  ];
  test.each(refused)("refuses %s", (_, file, code) => {
    expect(codeOf(file)).toBe(code);
  });

  test("refuses a unigram model by name", () => {
    const file = buildModel({ pieces: BASE, modelType: 1 });
    expect(() => parseSentencePiece(file)).toThrow(/unigram/);
    expect(codeOf(file)).toBe("tokenizer_unsupported");
  });

  test("refuses a file past the size limit without reading it", () => {
    expect(codeOf(new Uint8Array(limits.tokenizerBytes + 1))).toBe("tokenizer_too_large");
  });

  test("a model cut off anywhere is refused, except between its two settings", () => {
    const model = buildModel({ pieces: BASE });
    const normalizerBytes = 20;
    for (let end = 0; end < model.length; end++) {
      const code = codeOf(model.subarray(0, end));
      // There, only the normaliser is missing, and the format has defaults for it.
      if (end === model.length - normalizerBytes) expect(code).toBeUndefined();
      else expect(code).toStartWith("tokenizer_");
    }
  });

  test("random and mutated bytes give only typed errors", () => {
    const model = buildModel({ pieces: BASE });
    const change = fc.tuple(fc.nat({ max: model.length - 1 }), fc.nat({ max: 255 }));
    const mutated = fc.array(change, { minLength: 1, maxLength: 6 }).map((changes) => {
      const copy = model.slice();
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (file) => {
        try {
          Tokenizer.load({ model: file }).encode("a b\u00e9");
        } catch (error) {
          expect(errorCode(error)).toMatch(/^tokenizer_/);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});
