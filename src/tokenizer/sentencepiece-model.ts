/**
 * Reader of SentencePiece's tokenizer.model: a protocol buffer of scored pieces, the trainer's
 * settings and the normaliser's. Field numbers are those of sentencepiece_model.proto.
 */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { unsupported } from "./json.ts";
import { ProtobufReader } from "./protobuf.ts";
import { byteOf } from "./vocabulary.ts";

export const PieceType = {
  normal: 1,
  unknown: 2,
  control: 3,
  user: 4,
  unused: 5,
  byte: 6,
} as const;

export interface ScoredPiece {
  readonly text: string;
  readonly score: number;
  /** One of PieceType: normal, unknown, control or byte. */
  readonly type: number;
}

export interface SentencePieceFile {
  readonly pieces: readonly ScoredPiece[];
  readonly unknownId: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** Text that an unknown piece decodes to. */
  readonly unknownSurface: string;
  readonly byteFallback: boolean;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

const WHERE = "tokenizer.model";
const MODEL_TYPES = ["", "unigram", "BPE", "word", "char"];
const BPE = 2;

function refuse(problem: string): ArcticError {
  return new ArcticError(
    "tokenizer_malformed",
    `${WHERE} ${problem}. Fetch the file again from the model's own repository.`,
  );
}

interface Settings {
  modelType: number;
  bosId: number;
  eosId: number;
  byteFallback: boolean;
  whitespaceAsSuffix: boolean;
  unknownSurface: string;
  normalizer: string;
  hasCharacterMap: boolean;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
  escapeWhitespaces: boolean;
}

/** The proto's own defaults: a missing field means these. */
function defaults(): Settings {
  return {
    modelType: 1,
    bosId: 1,
    eosId: 2,
    byteFallback: false,
    whitespaceAsSuffix: false,
    unknownSurface: " \u2047 ",
    normalizer: "identity",
    hasCharacterMap: false,
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
}

function readPiece(reader: ProtobufReader, id: number): ScoredPiece {
  let text: string | null = null;
  let score = 0;
  let type: number = PieceType.normal;
  while (reader.next()) {
    if (reader.field === 1) text = reader.string();
    else if (reader.field === 2) score = reader.float();
    else if (reader.field === 3) type = reader.int32();
    else reader.skip();
  }
  if (text === null || text === "") throw refuse(`has an empty piece, number ${id}`);
  if (!Number.isFinite(score)) throw refuse(`has a score that is not finite, at piece ${id}`);
  if (type < PieceType.normal || type > PieceType.byte) {
    throw refuse(`has type ${type} at piece ${id}, which does not exist`);
  }
  if (type === PieceType.byte && byteOf(text) === null) {
    throw refuse(`has a byte piece, number ${id}, that is not spelled <0xNN>`);
  }
  return { text, score, type };
}

function readTrainer(reader: ProtobufReader, settings: Settings): void {
  while (reader.next()) {
    if (reader.field === 3) settings.modelType = reader.int32();
    else if (reader.field === 24) settings.whitespaceAsSuffix = reader.bool();
    else if (reader.field === 35) settings.byteFallback = reader.bool();
    else if (reader.field === 41) settings.bosId = reader.int32();
    else if (reader.field === 42) settings.eosId = reader.int32();
    else if (reader.field === 44) settings.unknownSurface = reader.string();
    else reader.skip();
  }
}

function readNormalizer(reader: ProtobufReader, settings: Settings): void {
  while (reader.next()) {
    if (reader.field === 1) settings.normalizer = reader.string();
    else if (reader.field === 2) settings.hasCharacterMap = reader.bytes().length > 0;
    else if (reader.field === 3) settings.addDummyPrefix = reader.bool();
    else if (reader.field === 4) settings.removeExtraWhitespaces = reader.bool();
    else if (reader.field === 5) settings.escapeWhitespaces = reader.bool();
    else reader.skip();
  }
}

/** Collects pieces under the limits that bound memory. */
class PieceList {
  readonly pieces: ScoredPiece[] = [];
  #characters = 0;
  readonly #seen = new Set<string>();

  add(reader: ProtobufReader, bytes: number): void {
    const id = this.pieces.length;
    if (id >= limits.vocabulary) throw refuse(`has more than ${limits.vocabulary} pieces`);
    // A piece message is its text plus a score and a type of a few bytes each.
    if (bytes > limits.tokenizerPieceBytes + 64) {
      throw refuse(`has a piece of more than ${limits.tokenizerPieceBytes} bytes, number ${id}`);
    }
    const piece = readPiece(reader, id);
    this.#characters += piece.text.length;
    if (this.#characters > limits.tokenizerPieceCharacters) {
      throw refuse(`has more than ${limits.tokenizerPieceCharacters} characters in its pieces`);
    }
    if (this.#seen.has(piece.text)) throw refuse(`has piece ${id} twice`);
    this.#seen.add(piece.text);
    this.pieces.push(piece);
  }
}

function checkSettings(settings: Settings): void {
  if (settings.modelType !== BPE) {
    const name = MODEL_TYPES[settings.modelType] ?? `number ${settings.modelType}`;
    throw unsupported(
      `The model type of ${WHERE}, ${name},`,
      "Arctic's tokenizer is a BPE model: check that the file belongs to the checkpoint.",
    );
  }
  if (settings.hasCharacterMap || !["", "identity"].includes(settings.normalizer)) {
    throw unsupported(
      `The normalizer of ${WHERE}, "${settings.normalizer.slice(0, 64)}",`,
      "Arctic's tokenizer does not change its input: check that the file belongs to the checkpoint.",
    );
  }
  if (settings.whitespaceAsSuffix) {
    throw unsupported(
      `The setting treat_whitespace_as_suffix of ${WHERE}`,
      "Arctic's tokenizer puts spaces before words: check that the file belongs to the checkpoint.",
    );
  }
}

function checkPieces(pieces: readonly ScoredPiece[], byteFallback: boolean): number {
  const unknown: number[] = [];
  let bytes = 0;
  for (const [id, piece] of pieces.entries()) {
    if (piece.type === PieceType.unknown) unknown.push(id);
    else if (piece.type === PieceType.byte) bytes++;
    else if (piece.type === PieceType.user || piece.type === PieceType.unused) {
      throw unsupported(
        `The type of piece ${id} of ${WHERE}, ${
          piece.type === PieceType.user ? "user-defined" : "unused"
        },`,
        "Arctic's vocabulary has normal, control, unknown and byte pieces only.",
      );
    }
  }
  const id = unknown[0];
  if (id === undefined || unknown.length > 1) {
    throw refuse(`needs exactly one unknown piece and has ${unknown.length}`);
  }
  if (bytes !== (byteFallback ? 256 : 0)) {
    throw refuse(`has ${bytes} byte pieces, with byte fallback ${byteFallback ? "on" : "off"}`);
  }
  return id;
}

/**
 * Reads and validates tokenizer.model.
 * @throws tokenizer_too_large, tokenizer_malformed, and tokenizer_unsupported for unigram models,
 *   normalisers other than identity, and piece types Arctic does not use
 */
export function parseSentencePiece(file: Uint8Array): SentencePieceFile {
  if (file.byteLength > limits.tokenizerBytes) {
    throw new ArcticError(
      "tokenizer_too_large",
      `${WHERE} has ${file.byteLength} bytes and at most ${limits.tokenizerBytes} are read. ` +
        `Check that it is a SentencePiece model.`,
    );
  }
  const settings = defaults();
  const list = new PieceList();
  const reader = new ProtobufReader(file, WHERE);
  while (reader.next()) {
    if (reader.field === 1) {
      const inner = reader.message();
      list.add(inner, inner.length);
    } else if (reader.field === 2) readTrainer(reader.message(), settings);
    else if (reader.field === 3) readNormalizer(reader.message(), settings);
    else reader.skip();
  }
  if (list.pieces.length === 0) throw refuse("has no pieces");
  checkSettings(settings);
  const known = (id: number) => id >= 0 && id < list.pieces.length ? id : null;
  return {
    pieces: list.pieces,
    unknownId: checkPieces(list.pieces, settings.byteFallback),
    bosId: known(settings.bosId),
    eosId: known(settings.eosId),
    unknownSurface: settings.unknownSurface,
    byteFallback: settings.byteFallback,
    addDummyPrefix: settings.addDummyPrefix,
    removeExtraWhitespaces: settings.removeExtraWhitespaces,
    escapeWhitespaces: settings.escapeWhitespaces,
  };
}
