/**
 * Token by token to text that is always whole characters. State is bounded: at most three bytes of
 * an unfinished character, and whether the text has begun.
 */

import type { LeadingSpace, Piece } from "./vocabulary.ts";

const REPLACEMENT = "\ufffd";

/** What the bytes so far are: a whole character, the start of one, or neither. */
type Utf8State = "whole" | "unfinished" | "invalid";

/** Length of the character that begins with `lead`, 0 when none does. Unicode 16, table 3-7. */
function utf8Length(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 0;
}

/** Bounds of the second byte: they exclude overlong forms, surrogates and code points past U+10FFFF. */
function secondByteFits(lead: number, second: number): boolean {
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

function classify(bytes: readonly number[]): Utf8State {
  const lead = bytes[0] ?? 0;
  const length = utf8Length(lead);
  if (length === 0) return "invalid";
  for (let i = 1; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (i === 1 ? !secondByteFits(lead, byte) : (byte & 0xc0) !== 0x80) return "invalid";
  }
  return bytes.length === length ? "whole" : "unfinished";
}

function codePointOf(bytes: readonly number[]): number {
  const lead = bytes[0] ?? 0;
  if (bytes.length === 1) return lead;
  let codePoint = lead & (0x7f >> bytes.length);
  for (let i = 1; i < bytes.length; i++) codePoint = codePoint << 6 | ((bytes[i] as number) & 0x3f);
  return codePoint;
}

/**
 * Bytes to text as SentencePiece decodes them: every byte that cannot be part of a character becomes
 * one U+FFFD, as soon as that is certain.
 */
export class Utf8Stream {
  #pending: number[] = [];

  get pending(): boolean {
    return this.#pending.length > 0;
  }

  push(bytes: Uint8Array): string {
    let text = "";
    for (const byte of bytes) {
      if (byte < 0x80 && this.#pending.length === 0) text += String.fromCharCode(byte);
      else {
        this.#pending.push(byte);
        text += this.#take();
      }
    }
    return text;
  }

  /** The end of the text: what is unfinished stays so. */
  flush(): string {
    const text = REPLACEMENT.repeat(this.#pending.length);
    this.#pending = [];
    return text;
  }

  #take(): string {
    let text = "";
    while (this.#pending.length > 0) {
      const state = classify(this.#pending);
      if (state === "unfinished") break;
      if (state === "whole") {
        text += String.fromCodePoint(codePointOf(this.#pending));
        this.#pending = [];
      } else {
        text += REPLACEMENT;
        this.#pending.shift();
      }
    }
    return text;
  }
}

export class Detokenizer {
  readonly #pieceOf: (id: number) => Piece | null;
  readonly #skipSpecial: boolean;
  readonly #utf8 = new Utf8Stream();
  #leadingSpace: LeadingSpace;

  /**
   * @param pieceOf the piece of an id; null for an id without text
   * @param leadingSpace what is dropped from the first visible piece; "kept" in mid-text
   * @param skipSpecial whether markers stay invisible
   */
  constructor(
    pieceOf: (id: number) => Piece | null,
    leadingSpace: LeadingSpace,
    skipSpecial: boolean,
  ) {
    this.#pieceOf = pieceOf;
    this.#leadingSpace = leadingSpace;
    this.#skipSpecial = skipSpecial;
  }

  /** Text that `id` completes: possibly empty, never half a character. */
  push(id: number): string {
    const piece = this.#pieceOf(id);
    if (piece === null) return "";
    if (piece.kind === "special" || (piece.kind === "unknown" && !this.#skipSpecial)) {
      // A marker ends whatever character was under way, whether or not it is shown.
      const text = this.#utf8.flush() + (this.#skipSpecial ? "" : piece.text);
      if (text !== "") this.#leadingSpace = "kept";
      return text;
    }
    const text = this.#utf8.push(this.#withoutLeadingSpace(piece));
    if (text !== "" || this.#utf8.pending) this.#leadingSpace = "kept";
    return text;
  }

  /** What is left at the end of the text: U+FFFD for every byte of an unfinished character. */
  flush(): string {
    return this.#utf8.flush();
  }

  #withoutLeadingSpace(piece: Piece): Uint8Array {
    if (this.#leadingSpace === "kept" || piece.kind !== "text" || piece.bytes[0] !== 0x20) {
      return piece.bytes;
    }
    if (this.#leadingSpace === "one dropped") this.#leadingSpace = "kept";
    return piece.bytes.subarray(1);
  }
}
