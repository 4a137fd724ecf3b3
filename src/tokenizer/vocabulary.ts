/** What the encoder, the decoder and the engine agree a vocabulary is. */

import { limits } from "../limits.ts";

/** How a piece appears in text. */
export type PieceKind =
  /** Ordinary text. */
  | "text"
  /** One byte of a character that has no piece of its own. */
  | "byte"
  /** A marker: no text of its own, written by templates only. */
  | "special"
  /** Stands for text the vocabulary cannot spell. */
  | "unknown";

export interface Piece {
  /** The piece as the vocabulary spells it, for display. */
  readonly text: string;
  /** The bytes it adds to running text; empty for markers. */
  readonly bytes: Uint8Array;
  readonly kind: PieceKind;
}

/** What decoding drops from the first visible piece: SentencePiece's dummy prefix. */
export type LeadingSpace = "kept" | "one dropped" | "all dropped";

/** A vocabulary with its encoder, whichever file it came from. */
export interface TextModel {
  /** Indexed by token id. */
  readonly pieces: readonly Piece[];
  readonly leadingSpace: LeadingSpace;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  /** Whether the file itself says that text starts with BOS; null when it says nothing. */
  readonly addsBos: boolean | null;
  /**
   * Ids of well-formed text, in which special tokens have no meaning.
   * @param prefix whether the vocabulary's dummy prefix goes before the text
   */
  encode(text: string, prefix: boolean): number[];
}

/** U+2581, how a vocabulary spells a space. */
export const SPACE_SYMBOL = "\u2581";

const encoder = new TextEncoder();

export function textPiece(text: string): Piece {
  return { text, bytes: encoder.encode(text.replaceAll(SPACE_SYMBOL, " ")), kind: "text" };
}

export function specialPiece(text: string): Piece {
  return { text, bytes: new Uint8Array(0), kind: "special" };
}

export function unknownPiece(text: string, surface: string): Piece {
  return { text, bytes: encoder.encode(surface), kind: "unknown" };
}

/** The byte that `<0xNN>` stands for, or null for any other text. */
export function byteOf(text: string): number | null {
  const match = /^<0x([0-9A-F]{2})>$/.exec(text);
  return match?.[1] === undefined ? null : Number.parseInt(match[1], 16);
}

export function bytePiece(text: string, byte: number): Piece {
  return { text, bytes: Uint8Array.of(byte), kind: "byte" };
}

/** Whether `text` is short enough to be a piece. */
export function fitsPiece(text: string): boolean {
  return text.length <= limits.tokenizerPieceBytes &&
    encoder.encode(text).length <= limits.tokenizerPieceBytes;
}
