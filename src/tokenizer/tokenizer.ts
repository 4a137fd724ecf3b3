/** The tokenizer of a model folder: text and conversations to token ids, and back. */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { type ChatMessage, ChatTemplate, type Segment } from "./chat-template.ts";
import { Detokenizer } from "./detokenizer.ts";
import { invalid } from "./json.ts";
import { SentencePiece } from "./sentencepiece.ts";
import { parseSentencePiece } from "./sentencepiece-model.ts";
import {
  type AddedToken,
  DEFAULT_CONFIG,
  parseTokenizerConfig,
  type TokenizerConfig,
} from "./tokenizer-config.ts";
import { JsonTokenizer } from "./tokenizer-json.ts";
import { type Piece, specialPiece, type TextModel, textPiece } from "./vocabulary.ts";

/** Contents of a model folder's tokenizer files; what the folder lacks is left out. */
export interface TokenizerFiles {
  /** tokenizer.model. Arctic ships it, so it wins over tokenizer.json where both are present. */
  readonly model?: Uint8Array | undefined;
  /** tokenizer.json. */
  readonly json?: Uint8Array | undefined;
  /** tokenizer_config.json. */
  readonly config?: Uint8Array | undefined;
}

const NO_BYTES = new Uint8Array(0);

/** The vocabulary with the tokens that tokenizer_config.json adds to or redefines in it. */
function mergePieces(model: TextModel, added: readonly AddedToken[]): readonly Piece[] {
  const pieces = [...model.pieces];
  for (const { id, content, special } of [...added].sort((a, b) => a.id - b.id)) {
    if (id > pieces.length) {
      throw invalid(
        "tokenizer_config.json",
        `adds token ${id} to a vocabulary of ${pieces.length} without the ids between`,
      );
    }
    if (pieces[id]?.kind === "unknown") continue; // stays what unknown text becomes
    pieces[id] = special ? specialPiece(content) : textPiece(content);
  }
  return pieces;
}

function loadModel(files: TokenizerFiles, added: readonly AddedToken[]): TextModel {
  if (files.model) {
    const file = parseSentencePiece(files.model);
    // A piece that became special, or that is spelled anew, can no longer be written by text.
    const redefined = added.filter(({ id, content, special }) =>
      special || file.pieces[id]?.text !== content
    );
    return new SentencePiece(file, new Set(redefined.map(({ id }) => id)));
  }
  if (files.json) return new JsonTokenizer(files.json, added);
  throw new ArcticError(
    "tokenizer_missing",
    "The model has neither tokenizer.model nor tokenizer.json. Give prompts as token ids.",
  );
}

export class Tokenizer {
  /** One more than the largest token id. The model's own vocabulary may be padded beyond it. */
  readonly vocabularySize: number;
  /** Id that begins a text, or null where the model has none. */
  readonly bosToken: number | null;
  /** Id that ends an answer, or null where the model has none. */
  readonly eosToken: number | null;
  readonly #model: TextModel;
  readonly #config: TokenizerConfig;
  readonly #pieces: readonly Piece[];
  /** Spelling to id of every token that only templates may write. */
  readonly #specials = new Map<string, number>();
  #template: ChatTemplate | null = null;

  private constructor(model: TextModel, config: TokenizerConfig) {
    this.#model = model;
    this.#config = config;
    this.#pieces = mergePieces(model, config.added);
    this.vocabularySize = this.#pieces.length;
    for (const [id, piece] of this.#pieces.entries()) {
      if (piece.kind === "special" || piece.kind === "unknown") this.#specials.set(piece.text, id);
    }
    for (const { id, content } of config.added) this.#specials.set(content, id);
    if (this.#specials.size > limits.addedTokens) {
      throw invalid("The tokenizer", `has more than ${limits.addedTokens} special tokens`);
    }
    this.bosToken = this.#named(config.bosToken, "bos_token") ?? model.bosToken;
    this.eosToken = this.#named(config.eosToken, "eos_token") ?? model.eosToken;
  }

  /**
   * Reads a model folder's tokenizer. tokenizer.model wins where tokenizer.json is there too.
   * @throws tokenizer_missing, tokenizer_too_large, tokenizer_malformed, tokenizer_config_invalid,
   *   tokenizer_unsupported
   */
  static load(files: TokenizerFiles): Tokenizer {
    const config = files.config ? parseTokenizerConfig(files.config) : DEFAULT_CONFIG;
    return new Tokenizer(loadModel(files, config.added), config);
  }

  #named(name: string | null, key: string): number | null {
    if (name === null) return null;
    const id = this.#specials.get(name) ?? this.#pieces.findIndex((piece) => piece.text === name);
    if (id < 0) {
      throw invalid("tokenizer_config.json", `names a ${key} that the vocabulary does not have`);
    }
    return id;
  }

  /** Whether the model brings a chat template; `encodeChat` fails without one. */
  get hasChatTemplate(): boolean {
    return this.#config.chatTemplate !== null;
  }

  /** Whether `encode` puts BOS first unless told otherwise. */
  get addsBos(): boolean {
    return (this.#config.addsBos ?? this.#model.addsBos ?? true) && this.bosToken !== null;
  }

  /**
   * Token ids of plain text. Text that spells a special token stays text; lone surrogates become
   * U+FFFD. The vocabulary's dummy prefix goes before the text.
   * @param options.bos whether BOS comes first; by default as the model's add_bos_token says
   * @throws request_prompt_too_large
   */
  encode(text: string, options: { readonly bos?: boolean } = {}): number[] {
    checkLength(text.length);
    const ids = this.#model.encode(text.toWellFormed(), this.#config.addsPrefixSpace);
    const bos = options.bos ?? this.addsBos;
    return bos && this.bosToken !== null ? [this.bosToken, ...ids] : ids;
  }

  /**
   * Token ids of a conversation, rendered by the model's own chat template up to where the model's
   * answer begins. No BOS is added: the template writes what the model expects.
   * @throws tokenizer_template_missing, tokenizer_template_*, request_chat_refused,
   *   request_prompt_too_large
   */
  encodeChat(messages: readonly ChatMessage[]): number[] {
    const ids: number[] = [];
    let atStart = true;
    for (const segment of this.#renderChat(messages)) {
      if (typeof segment === "number") ids.push(segment);
      else {
        const prefix = this.#config.addsPrefixSpace && (atStart || this.#config.legacy);
        for (const id of this.#model.encode(segment, prefix)) ids.push(id);
      }
      atStart = false;
    }
    return ids;
  }

  /**
   * The text that `encodeChat` encodes, with special tokens as the vocabulary spells them. Encoding it
   * as plain text gives other ids: only a template writes special tokens.
   * @throws as encodeChat
   */
  renderChat(messages: readonly ChatMessage[]): string {
    return this.#renderChat(messages)
      .map((segment) => typeof segment === "number" ? this.tokenText(segment) : segment)
      .join("");
  }

  /**
   * Text of token ids, from the very start of a text: the dummy prefix is dropped. What is not UTF-8
   * becomes U+FFFD, one for each byte.
   * @param options.skipSpecial whether special tokens stay invisible; true by default
   */
  decode(ids: readonly number[], options: { readonly skipSpecial?: boolean } = {}): string {
    const stream = this.#stream(options.skipSpecial ?? true);
    let text = "";
    for (const id of ids) text += stream.push(id);
    return text + stream.flush();
  }

  /**
   * A detokenizer for what follows `prompt`: its pieces, joined, are what `decode` of everything has
   * beyond `decode` of the prompt. A character that the prompt leaves unfinished is completed.
   */
  detokenizer(
    prompt: readonly number[],
    options: { readonly skipSpecial?: boolean } = {},
  ): Detokenizer {
    const stream = this.#stream(options.skipSpecial ?? true);
    for (const id of prompt) stream.push(id);
    return stream;
  }

  /** Bytes that a token adds to running text: none for special tokens and for padding ids. */
  tokenBytes(id: number): Uint8Array {
    return this.#piece(id)?.bytes ?? NO_BYTES;
  }

  /** A token as the vocabulary spells it, for people: U+2581 for a space, `<0x0A>` for a byte. */
  tokenText(id: number): string {
    return this.#piece(id)?.text ?? "";
  }

  /** Whether a token is a marker that only templates write: BOS, EOS, `<unk>` and their kin. */
  isSpecial(id: number): boolean {
    const kind = this.#piece(id)?.kind;
    return kind === "special" || kind === "unknown";
  }

  #renderChat(messages: readonly ChatMessage[]): Segment[] {
    checkLength(messages.reduce((sum, { role, content }) => sum + role.length + content.length, 0));
    return this.#chatTemplate().render(messages);
  }

  #stream(skipSpecial: boolean): Detokenizer {
    return new Detokenizer((id) => this.#piece(id), this.#model.leadingSpace, skipSpecial);
  }

  #piece(id: number): Piece | null {
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new ArcticError(
        "request_token_invalid",
        `${id} is not a token id. Token ids are whole numbers from 0 on.`,
      );
    }
    return this.#pieces[id] ?? null;
  }

  #chatTemplate(): ChatTemplate {
    const source = this.#config.chatTemplate;
    if (source === null) {
      throw new ArcticError(
        "tokenizer_template_missing",
        "The model has no chat template in tokenizer_config.json. Use a raw prompt instead.",
      );
    }
    this.#template ??= new ChatTemplate({
      source,
      specials: this.#specials,
      bosToken: this.#config.bosToken,
      eosToken: this.#config.eosToken,
    });
    return this.#template;
  }
}

function checkLength(characters: number): void {
  if (characters > limits.promptBytes) {
    throw new ArcticError(
      "request_prompt_too_large",
      `The prompt has ${characters} characters and at most ${limits.promptBytes} are read. ` +
        `Shorten it.`,
    );
  }
}
