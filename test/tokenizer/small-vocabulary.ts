/** A writer of SentencePiece models and a vocabulary small enough to reason about by hand. */

import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** Piece types of sentencepiece_model.proto. */
export const Type = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

export type PieceSpec = readonly [text: string, score: number, type: number];

export interface ModelOptions {
  readonly pieces: readonly PieceSpec[];
  readonly modelType?: number;
  readonly byteFallback?: boolean;
  readonly normalizerName?: string;
  readonly characterMap?: Uint8Array;
  readonly addDummyPrefix?: boolean;
  readonly removeExtraWhitespaces?: boolean;
  readonly whitespaceAsSuffix?: boolean;
}

export function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value;; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

export function field(number: number, wire: number, payload: readonly number[]): number[] {
  return [...varint(number * 8 + wire), ...payload];
}

export function message(number: number, bytes: Uint8Array | readonly number[]): number[] {
  return field(number, 2, [...varint(bytes.length), ...bytes]);
}

export function text(number: number, value: string): number[] {
  return message(number, new TextEncoder().encode(value));
}

export function float(number: number, value: number): number[] {
  return field(number, 5, [...new Uint8Array(Float32Array.of(value).buffer)]);
}

export function flag(number: number, value: boolean): number[] {
  return field(number, 0, [value ? 1 : 0]);
}

export function piece([value, score, type]: PieceSpec): number[] {
  return message(1, [...text(1, value), ...float(2, score), ...field(3, 0, varint(type))]);
}

/** Bytes of a tokenizer.model. */
export function buildModel(options: ModelOptions): Uint8Array {
  const bytes = options.pieces.flatMap(piece);
  const hasBytes = options.pieces.some(([, , type]) => type === Type.byte);
  bytes.push(...message(2, [
    ...field(3, 0, varint(options.modelType ?? 2)),
    ...flag(24, options.whitespaceAsSuffix ?? false),
    ...flag(35, options.byteFallback ?? hasBytes),
    // pad_id = -1, as a 64-bit two's complement number
    ...field(43, 0, [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
  ]));
  bytes.push(...message(3, [
    ...text(1, options.normalizerName ?? "identity"),
    ...message(2, options.characterMap ?? []),
    ...flag(3, options.addDummyPrefix ?? true),
    ...flag(4, options.removeExtraWhitespaces ?? false),
    ...flag(5, true),
  ]));
  return Uint8Array.from(bytes);
}

const BASE: readonly PieceSpec[] = [
  ["<unk>", 0, Type.unknown],
  ["<s>", 0, Type.control],
  ["</s>", 0, Type.control],
];

const BYTES: readonly PieceSpec[] = Array.from({ length: 256 }, (_, byte) => [
  `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  0,
  Type.byte,
]);

/** Merged pieces first: a lower position is a higher score, as training orders them. */
const WORDS = [
  ...[
    "\u2581t",
    "he",
    "\u2581the",
    "in",
    "ing",
    "an",
    "\u2581an",
    "and",
    "\u2581and",
    "aa",
    "aaaa",
  ],
  ...["us", "er", "user", "as", "<|", "|>", "\u2581\u2581", "\u2581\u2581\u2581\u2581"],
  ..."\u2581abcdefghijklmnopqrstuvwxyzTHES|<>_.,!",
  ...["\u5f18", "\u7ed9"],
];

export const SMALL: readonly PieceSpec[] = [
  ...BASE,
  ...BYTES,
  ...WORDS.map((word, index): PieceSpec => [word, -index, Type.normal]),
];

/** The same words without byte pieces: what they cannot spell is unknown. */
export const WITHOUT_BYTES: readonly PieceSpec[] = [
  ...BASE,
  ...WORDS.map((word, index): PieceSpec => [word, -index, Type.normal]),
];

/** The last two ids, spelled U+5F18 and U+7ED9 by the model, are the chat markers. */
export const START = SMALL.length - 2;
export const END = SMALL.length - 1;

export const CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'" +
  " + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

export function addedToken(content: string, more: Record<string, unknown> = {}) {
  const flags = { lstrip: false, rstrip: false, single_word: false, normalized: false };
  return { content, ...flags, special: true, ...more };
}

/** An Arctic-like tokenizer_config.json as an object, for tests to bend. */
export function smallConfig(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    add_bos_token: true,
    add_eos_token: false,
    bos_token: "<|im_start|>",
    eos_token: "<|im_end|>",
    unk_token: "<unk>",
    legacy: false,
    tokenizer_class: "ArcticTokenizer",
    added_tokens_decoder: {
      "0": addedToken("<unk>"),
      "1": addedToken("<s>"),
      "2": addedToken("</s>"),
      [START]: addedToken("<|im_start|>"),
      [END]: addedToken("<|im_end|>"),
    },
    chat_template: CHATML,
    ...more,
  };
}

export function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

export function smallTokenizer(more: Record<string, unknown> = {}): Tokenizer {
  return Tokenizer.load({ model: buildModel({ pieces: SMALL }), config: json(smallConfig(more)) });
}

/** Pieces of ids as text, for expectations that can be read. */
export function spelled(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  return ids.map((id) => tokenizer.tokenText(id));
}
