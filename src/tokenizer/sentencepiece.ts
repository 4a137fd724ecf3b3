/**
 * SentencePiece BPE with byte fallback: whitespace escaping, the dummy prefix, merging, and bytes (or
 * the unknown piece) for what no piece spells.
 */

import { ArcticError } from "../errors.ts";
import { Merger, ranksByScore } from "./merger.ts";
import { PieceType, type SentencePieceFile } from "./sentencepiece-model.ts";
import {
  byteOf,
  bytePiece,
  type LeadingSpace,
  type Piece,
  SPACE_SYMBOL,
  specialPiece,
  type TextModel,
  textPiece,
  unknownPiece,
} from "./vocabulary.ts";

const encoder = new TextEncoder();

function pieceOf(text: string, type: number, surface: string): Piece {
  if (type === PieceType.unknown) return unknownPiece(text, surface);
  if (type === PieceType.control) return specialPiece(text);
  const byte = type === PieceType.byte ? byteOf(text) : null;
  return byte === null ? textPiece(text) : bytePiece(text, byte);
}

/** `text` without the spaces at its end, in linear time whatever stands before them. */
function trimEnd(text: string, space: string): string {
  let end = text.length;
  while (text[end - 1] === space) end--;
  return text.slice(0, end);
}

export class SentencePiece implements TextModel {
  readonly pieces: readonly Piece[];
  readonly leadingSpace: LeadingSpace;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  readonly addsBos = null;
  readonly #file: SentencePieceFile;
  readonly #ids = new Map<string, number>();
  readonly #byteIds: Int32Array | null;
  readonly #merger: Merger;

  /**
   * @param redefined ids that tokenizer_config.json gives another meaning: text never becomes them,
   *   so that the characters they used to spell fall back to bytes
   * @throws tokenizer_unsupported when a byte piece is redefined
   */
  constructor(file: SentencePieceFile, redefined: ReadonlySet<number>) {
    this.#file = file;
    const byteIds = new Int32Array(256);
    const scores = new Map<string, number>();
    for (const [id, { text, score, type }] of file.pieces.entries()) {
      if (type === PieceType.byte) {
        if (redefined.has(id)) {
          throw new ArcticError(
            "tokenizer_unsupported",
            `tokenizer_config.json redefines token ${id}, the byte piece ${text}, without which not ` +
              `every text can be written. Remove ${id} from added_tokens_decoder.`,
          );
        }
        byteIds[byteOf(text) as number] = id;
      } else if (type === PieceType.normal && !redefined.has(id)) {
        this.#ids.set(text, id);
        scores.set(text, score);
      }
    }
    this.#byteIds = file.byteFallback ? byteIds : null;
    this.#merger = new Merger(scores.keys(), ranksByScore(scores));
    this.pieces = file.pieces.map(({ text, type }) => pieceOf(text, type, file.unknownSurface));
    this.bosToken = file.bosId;
    this.eosToken = file.eosId;
    this.leadingSpace = file.removeExtraWhitespaces
      ? "all dropped"
      : file.addDummyPrefix
      ? "one dropped"
      : "kept";
  }

  encode(text: string, prefix: boolean): number[] {
    const normalized = this.#normalize(text, prefix);
    const ids: number[] = [];
    let afterUnknown = false;
    this.#merger.split(normalized, (symbol) => {
      const id = this.#ids.get(symbol);
      if (id !== undefined) ids.push(id);
      else if (this.#byteIds) {
        for (const byte of encoder.encode(symbol)) ids.push(this.#byteIds[byte] as number);
      } else if (!afterUnknown) ids.push(this.#file.unknownId); // a run of unknowns is one token
      afterUnknown = id === undefined;
    });
    return ids;
  }

  /** Steps and their order as in SentencePiece's normalizer.cc, for the identity rule. */
  #normalize(text: string, prefix: boolean): string {
    const { removeExtraWhitespaces, addDummyPrefix, escapeWhitespaces } = this.#file;
    const kept = removeExtraWhitespaces ? text.replace(/^ +/, "").replace(/ {2,}/g, " ") : text;
    if (kept === "") return "";
    const prefixed = prefix && addDummyPrefix ? ` ${kept}` : kept;
    const escaped = escapeWhitespaces ? prefixed.replaceAll(" ", SPACE_SYMBOL) : prefixed;
    if (!removeExtraWhitespaces) return escaped;
    return trimEnd(escaped, escapeWhitespaces ? SPACE_SYMBOL : " ");
  }
}
