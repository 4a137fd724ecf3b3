/** tokenizer_config.json: special tokens, BOS, the prefix rule and the chat template. */

import { limits } from "../limits.ts";
import {
  booleanAt,
  invalid,
  isObject,
  type JsonObject,
  parseJsonObject,
  stringAt,
  unsupported,
} from "./json.ts";
import { fitsPiece } from "./vocabulary.ts";

const WHERE = "tokenizer_config.json";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface TokenizerConfig {
  /** Whether plain text starts with BOS; null when the file does not say. */
  readonly addsBos: boolean | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Whether text after a special token gets the dummy prefix too (Transformers before 4.34). */
  readonly legacy: boolean;
  /** Whether text at the very start gets the dummy prefix. */
  readonly addsPrefixSpace: boolean;
  readonly added: readonly AddedToken[];
  readonly chatTemplate: string | null;
}

/** What holds without tokenizer_config.json. */
export const DEFAULT_CONFIG: TokenizerConfig = {
  addsBos: null,
  bosToken: null,
  eosToken: null,
  legacy: false,
  addsPrefixSpace: true,
  added: [],
  chatTemplate: null,
};

/** One entry of an added-token list; the same rules serve tokenizer.json. */
export function parseAddedToken(id: number, entry: unknown, where: string): AddedToken {
  if (!isObject(entry)) throw invalid(where, `needs an object for added token ${id}`);
  const content = stringAt(entry, "content", `${where}, added token ${id},`);
  if (content === "" || !content.isWellFormed() || !fitsPiece(content)) {
    throw invalid(where, `has an empty, damaged or overlong added token, ${id}`);
  }
  const special = booleanAt(entry, "special", false, where);
  for (const flag of ["lstrip", "rstrip", "single_word"]) {
    if (booleanAt(entry, flag, false, where)) {
      throw unsupported(
        `"${flag}" on added token ${id} in ${where}`,
        "Arctic's special tokens leave the text around them alone: set it to false.",
      );
    }
  }
  return { id, content, special };
}

/** Refuses two meanings for one id or one spelling. */
export function checkAddedTokens(added: readonly AddedToken[], where: string): void {
  if (added.length > limits.addedTokens) {
    throw invalid(where, `lists ${added.length} added tokens, more than ${limits.addedTokens}`);
  }
  if (new Set(added.map((token) => token.id)).size < added.length) {
    throw invalid(where, "gives one token id two meanings");
  }
  if (new Set(added.map((token) => token.content)).size < added.length) {
    throw invalid(where, "gives one added token two ids");
  }
}

function parseAddedTokens(config: JsonObject): AddedToken[] {
  const decoder = config["added_tokens_decoder"];
  if (decoder === undefined || decoder === null) return [];
  if (!isObject(decoder)) throw invalid(WHERE, 'needs an object at "added_tokens_decoder"');
  const entries = Object.entries(decoder);
  if (entries.length > limits.addedTokens) {
    throw invalid(WHERE, `lists ${entries.length} added tokens, more than ${limits.addedTokens}`);
  }
  const added = entries.map(([key, entry]) => {
    const id = /^(0|[1-9]\d{0,7})$/.test(key) ? Number(key) : -1;
    if (id < 0 || id >= limits.vocabulary) {
      throw invalid(WHERE, `has an added token with the id "${key.slice(0, 32)}"`);
    }
    return parseAddedToken(id, entry, WHERE);
  });
  checkAddedTokens(added, WHERE);
  return added;
}

/** `bos_token` and its kin are a string, an object with "content", or null. */
function tokenName(config: JsonObject, key: string): string | null {
  const value = config[key];
  if (value === undefined || value === null) return null;
  const name = isObject(value) ? value["content"] : value;
  if (typeof name !== "string" || name === "") throw invalid(WHERE, `needs a token at "${key}"`);
  return name;
}

/** `chat_template` is a string, or a list of named ones of which "default" counts. */
function chatTemplate(config: JsonObject): string | null {
  const value = config["chat_template"];
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw invalid(WHERE, 'needs a string at "chat_template"');
  const named: unknown = value.find((item) => isObject(item) && item["name"] === "default");
  if (!isObject(named)) throw invalid(WHERE, 'has no chat template named "default"');
  return stringAt(named, "template", `${WHERE}, the default chat template,`);
}

function refuseUnsupported(config: JsonObject): void {
  if (booleanAt(config, "add_eos_token", false, WHERE)) {
    throw unsupported(
      `"add_eos_token" in ${WHERE}`,
      "A prompt that ends with EOS has no continuation: set it to false.",
    );
  }
  const sentencePiece = config["sp_model_kwargs"];
  if (isObject(sentencePiece) && Object.keys(sentencePiece).length > 0) {
    throw unsupported(`"sp_model_kwargs" in ${WHERE}`, "Arctic has none: leave it empty.");
  }
}

/**
 * Reads and validates tokenizer_config.json. Keys that do not change ids or text are not read;
 * `clean_up_tokenization_spaces` is not honoured, because it would rewrite text already streamed.
 * @throws tokenizer_too_large, tokenizer_config_invalid, tokenizer_unsupported
 */
export function parseTokenizerConfig(file: Uint8Array): TokenizerConfig {
  const config = parseJsonObject(file, WHERE, limits.configBytes);
  refuseUnsupported(config);
  const tokenizerClass = config["tokenizer_class"];
  // LlamaTokenizer's default is true; ArcticTokenizer's, and so ours, is false.
  const legacyDefault = typeof tokenizerClass === "string" && tokenizerClass.startsWith("Llama");
  const addsBos = config["add_bos_token"];
  return {
    addsBos: addsBos === undefined || addsBos === null
      ? null
      : booleanAt(config, "add_bos_token", true, WHERE),
    bosToken: tokenName(config, "bos_token"),
    eosToken: tokenName(config, "eos_token"),
    legacy: booleanAt(config, "legacy", legacyDefault, WHERE),
    addsPrefixSpace: booleanAt(config, "add_prefix_space", true, WHERE),
    added: parseAddedTokens(config),
    chatTemplate: chatTemplate(config),
  };
}
