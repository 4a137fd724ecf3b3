/**
 * tokenizer.json: its normalizer and pre-tokenizer run by @huggingface/tokenizers, its merges by our
 * own merger, which text can never lead to a special token.
 */

import { Tokenizer as Library } from "@huggingface/tokenizers";
import { assert, defined } from "../assert.ts";
import { ArcticError } from "../errors.ts";
import { byteAlphabet, bytesOf } from "./byte-alphabet.ts";
import { invalid } from "./json.ts";
import { Merger, ranksByMerges } from "./merger.ts";
import type { AddedToken } from "./tokenizer-config.ts";
import { type CheckedJson, checkTokenizerJson, JSON_FILE } from "./tokenizer-json-check.ts";
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

/** What an unknown token decodes to, as in SentencePiece. */
const UNKNOWN_SURFACE = " \u2047 ";

function pieceOf(text: string, checked: CheckedJson): Piece {
  if (text === checked.unknownToken) return unknownPiece(text, UNKNOWN_SURFACE);
  if (checked.byteLevel) {
    const bytes = bytesOf(text);
    if (bytes === null) throw invalid(JSON_FILE, "has a token outside the byte alphabet");
    return { text, bytes, kind: "text" };
  }
  const byte = checked.byteFallback ? byteOf(text) : null;
  return byte === null ? textPiece(text) : bytePiece(text, byte);
}

function piecesOf(checked: CheckedJson): Piece[] {
  const pieces: Piece[] = [];
  const specials = new Set(checked.added.map(({ content }) => content));
  for (const [text, id] of checked.vocabulary) {
    const special = specials.has(text) && text !== checked.unknownToken;
    pieces[id] = special ? specialPiece(text) : pieceOf(text, checked);
  }
  for (const { id, content, special } of checked.added) {
    if (content === checked.unknownToken) continue;
    pieces[id] = special ? specialPiece(content) : textPiece(content);
  }
  for (let id = 0; id < pieces.length; id++) {
    if (!(id in pieces)) throw invalid(JSON_FILE, `has no token with the id ${id}`);
  }
  return pieces;
}

/**
 * The library with the file's normalizer and pre-tokenizer. Its own BPE takes seconds for a million
 * characters and drops without a word what it cannot spell, so the model it gets is empty.
 */
function buildLibrary(checked: CheckedJson): Library {
  const file = {
    model: { type: "BPE", vocab: {}, merges: [] },
    normalizer: checked.normalizer,
    pre_tokenizer: checked.preTokenizer,
    post_processor: null,
    decoder: null,
    added_tokens: [],
  };
  try {
    return new Library(file, {});
  } catch (cause) {
    throw new ArcticError(
      "tokenizer_config_invalid",
      `${JSON_FILE} holds a setting that the tokenizer library does not accept. ` +
        `Provide tokenizer.model instead.`,
      { cause },
    );
  }
}

/** Ids of the 256 byte pieces `<0xNN>`; null where text may not become all of them. */
function byteIdsOf(ids: ReadonlyMap<string, number>): Int32Array | null {
  const byteIds = new Int32Array(256).fill(-1);
  for (const [text, id] of ids) {
    const byte = byteOf(text);
    if (byte !== null) byteIds[byte] = id;
  }
  return byteIds.includes(-1) ? null : byteIds;
}

export class JsonTokenizer implements TextModel {
  readonly pieces: readonly Piece[];
  readonly leadingSpace: LeadingSpace;
  readonly bosToken = null;
  readonly eosToken = null;
  readonly addsBos: boolean | null;
  readonly #checked: CheckedJson;
  readonly #library: Library;
  readonly #merger: Merger;
  /** What text may become: the vocabulary without special and redefined tokens. */
  readonly #ids: ReadonlyMap<string, number>;
  readonly #byteIds: Int32Array | null;
  readonly #unknownId: number;

  /**
   * @param redefined tokens to which tokenizer_config.json gives a meaning of their own
   * @throws tokenizer_too_large, tokenizer_config_invalid, tokenizer_unsupported,
   *   tokenizer_pattern_refused
   */
  constructor(file: Uint8Array, redefined: readonly AddedToken[]) {
    const checked = checkTokenizerJson(file);
    this.#checked = checked;
    this.pieces = piecesOf(checked);
    this.leadingSpace = checked.leadingSpace;
    this.addsBos = checked.addsBos;
    this.#library = buildLibrary(checked);
    const taken = new Set([...checked.added, ...redefined].map(({ id }) => id));
    const names = new Set([...checked.added, ...redefined].map(({ content }) => content));
    const free = [...checked.vocabulary].filter(([text, id]) => !taken.has(id) && !names.has(text));
    this.#ids = new Map(free);
    const merges = checked.merges.filter(([left, right]) => this.#ids.has(left + right));
    this.#merger = new Merger(this.#ids.keys(), ranksByMerges(merges));
    this.#byteIds = checked.byteFallback ? byteIdsOf(this.#ids) : null;
    this.#unknownId = checked.unknownToken === null
      ? -1
      : defined(checked.vocabulary.get(checked.unknownToken), "the unknown token");
    if (!this.#spellsEverything()) {
      throw invalid(JSON_FILE, "has neither an unknown token nor a token for each of 256 bytes");
    }
  }

  #spellsEverything(): boolean {
    if (this.#unknownId >= 0 || this.#byteIds) return true;
    return this.#checked.byteLevel && byteAlphabet.every((char) => this.#ids.has(char));
  }

  encode(text: string, prefix: boolean): number[] {
    if (text === "") return [];
    const { normalizer, pre_tokenizer } = this.#library;
    const prefixed = this.#prefixed(text, prefix);
    const normalized = normalizer ? normalizer.normalize(prefixed) : prefixed;
    const words = pre_tokenizer ? pre_tokenizer.pre_tokenize(normalized) : [normalized];
    const ids: number[] = [];
    for (const word of words) this.#encodeWord(word, ids);
    return ids;
  }

  #prefixed(text: string, prefix: boolean): string {
    const kind = prefix ? this.#checked.prefix : "none";
    if (kind === "none" || (kind === "unless space" && /^[ \u2581]/.test(text))) return text;
    return SPACE_SYMBOL + text;
  }

  #encodeWord(word: string, ids: number[]): void {
    const whole = this.#checked.ignoreMerges ? this.#ids.get(word) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    let afterUnknown = false;
    this.#merger.split(word, (symbol) => {
      const id = this.#ids.get(symbol);
      if (id !== undefined) ids.push(id);
      else if (this.#byteIds) {
        for (const byte of encoder.encode(symbol)) ids.push(this.#byteIds[byte] as number);
      } else {
        assert(this.#unknownId >= 0, "tokenizer.json cannot spell a text");
        if (!(afterUnknown && this.#checked.fusesUnknown)) ids.push(this.#unknownId);
      }
      afterUnknown = id === undefined;
    });
  }
}
