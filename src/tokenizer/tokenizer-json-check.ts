/**
 * All trust in tokenizer.json is decided here: which kinds of step are known, how large a vocabulary
 * may be, which merges and patterns make sense.
 */

import { limits } from "../limits.ts";
import {
  booleanAt,
  invalid,
  isObject,
  type JsonObject,
  objectAt,
  parseJsonObject,
  stringAt,
  unsupported,
} from "./json.ts";
import { checkPattern } from "./pattern-check.ts";
import { type AddedToken, checkAddedTokens, parseAddedToken } from "./tokenizer-config.ts";
import { type LeadingSpace, SPACE_SYMBOL } from "./vocabulary.ts";

export const JSON_FILE = "tokenizer.json";

export interface CheckedJson {
  /** Spelling to id, without the tokens that only templates may write. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly added: readonly AddedToken[];
  readonly unknownToken: string | null;
  readonly byteFallback: boolean;
  /** Whether a run of unknown characters is one unknown token. */
  readonly fusesUnknown: boolean;
  readonly ignoreMerges: boolean;
  /** Steps for the library, none of which adds a prefix. */
  readonly normalizer: JsonObject | null;
  readonly preTokenizer: JsonObject | null;
  /** Whether pieces are spelled in the byte alphabet of GPT-2. */
  readonly byteLevel: boolean;
  readonly prefix: "none" | "always" | "unless space";
  readonly leadingSpace: LeadingSpace;
  readonly addsBos: boolean | null;
}

/** A step and, when it is a Sequence, the steps in it: one level, as all known files have. */
function steps(value: unknown, inner: string): JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) throw invalid(JSON_FILE, "has a step that is not an object");
  if (value["type"] !== "Sequence") return [value];
  const list = value[inner];
  if (!Array.isArray(list) || list.length > limits.tokenizerSteps) {
    throw invalid(JSON_FILE, `needs a list of at most ${limits.tokenizerSteps} steps`);
  }
  return list.map((step: unknown) => {
    if (!isObject(step)) throw invalid(JSON_FILE, "has a step that is not an object");
    return step;
  });
}

function unknownStep(kind: string, step: JsonObject): never {
  const type = typeof step["type"] === "string" ? step["type"].slice(0, 64) : "without a type";
  throw unsupported(
    `The ${kind} "${type}" in ${JSON_FILE}, with the settings it has there,`,
    "Provide tokenizer.model instead.",
  );
}

function stringPattern(step: JsonObject, kind: string): string {
  const pattern = step["pattern"];
  if (!isObject(pattern) || typeof pattern["String"] !== "string" || pattern["String"] === "") {
    return unknownStep(kind, step);
  }
  return pattern["String"];
}

function checkNormalizer(value: unknown): { steps: JsonObject[]; prepends: boolean } {
  const kept: JsonObject[] = [];
  let prepends = false;
  for (const [index, step] of steps(value, "normalizers").entries()) {
    const type = step["type"];
    if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") kept.push({ type });
    else if (type === "Prepend" && index === 0 && step["prepend"] === SPACE_SYMBOL) prepends = true;
    else if (type === "Replace") {
      const content = stringAt(step, "content", JSON_FILE);
      kept.push({ type, pattern: { String: stringPattern(step, "normalizer") }, content });
    } else unknownStep("normalizer", step);
  }
  return { steps: kept, prepends };
}

function checkSplit(step: JsonObject): JsonObject {
  const pattern = step["pattern"];
  const behavior = step["behavior"];
  if (behavior !== "Isolated" && behavior !== "Removed") return unknownStep("pre-tokenizer", step);
  const invert = booleanAt(step, "invert", false, JSON_FILE);
  if (!isObject(pattern)) return unknownStep("pre-tokenizer", step);
  if (typeof pattern["Regex"] === "string") {
    checkPattern(pattern["Regex"], JSON_FILE);
    return { type: "Split", pattern: { Regex: pattern["Regex"] }, behavior, invert };
  }
  const text = stringPattern(step, "pre-tokenizer");
  return { type: "Split", pattern: { String: text }, behavior, invert };
}

function checkPreTokenizer(value: unknown): { steps: JsonObject[]; metaspace: JsonObject | null } {
  const all = steps(value, "pretokenizers");
  const first = all[0];
  if (first?.["type"] === "Metaspace" && all.length === 1) {
    const splits = booleanAt(first, "split", true, JSON_FILE);
    const symbol = first["replacement"] ?? SPACE_SYMBOL;
    if (splits || symbol !== SPACE_SYMBOL) return unknownStep("pre-tokenizer", first);
    return { steps: [], metaspace: first };
  }
  const kept = all.map((step) => {
    const type = step["type"];
    if (type === "Split") return checkSplit(step);
    if (type === "Digits") {
      return { type, individual_digits: booleanAt(step, "individual_digits", false, JSON_FILE) };
    }
    if (type === "ByteLevel") {
      return {
        type,
        add_prefix_space: booleanAt(step, "add_prefix_space", false, JSON_FILE),
        use_regex: booleanAt(step, "use_regex", true, JSON_FILE),
      };
    }
    return unknownStep("pre-tokenizer", step);
  });
  return { steps: kept, metaspace: null };
}

/** How text is put together again: the alphabet, and whether a leading space is dropped. */
function checkDecoder(value: unknown): { byteLevel: boolean; leadingSpace: LeadingSpace } {
  let byteLevel = false;
  let leadingSpace: LeadingSpace = "kept";
  for (const step of steps(value, "decoders")) {
    const type = step["type"];
    if (type === "ByteLevel") byteLevel = true;
    else if (type === "Metaspace") {
      if (metaspaceScheme(step) !== "never") leadingSpace = "one dropped";
    } else if (type === "Strip") {
      if (step["content"] !== " " || step["start"] !== 1 || step["stop"] !== 0) {
        unknownStep("decoder", step);
      }
      leadingSpace = "one dropped";
    } else if (type === "Replace") {
      if (stringPattern(step, "decoder") !== SPACE_SYMBOL || step["content"] !== " ") {
        unknownStep("decoder", step);
      }
    } else if (type !== "ByteFallback" && type !== "Fuse") unknownStep("decoder", step);
  }
  return { byteLevel, leadingSpace };
}

function metaspaceScheme(step: JsonObject): string {
  const scheme = step["prepend_scheme"];
  if (typeof scheme === "string") return scheme;
  return booleanAt(step, "add_prefix_space", true, JSON_FILE) ? "always" : "never";
}

function checkVocabulary(model: JsonObject): Map<string, number> {
  const vocabulary = new Map<string, number>();
  const ids = new Set<number>();
  const entries = Object.entries(objectAt(model, "vocab", JSON_FILE));
  if (entries.length > limits.vocabulary) {
    throw invalid(JSON_FILE, `has more than ${limits.vocabulary} tokens`);
  }
  for (const [text, id] of entries) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= limits.vocabulary) {
      throw invalid(JSON_FILE, `has a token with the id ${String(id).slice(0, 32)}`);
    }
    if (text.length > limits.tokenizerPieceBytes) {
      throw invalid(JSON_FILE, `has a token of more than ${limits.tokenizerPieceBytes} bytes`);
    }
    if (ids.has(id)) throw invalid(JSON_FILE, `gives the id ${id} to two tokens`);
    ids.add(id);
    vocabulary.set(text, id);
  }
  return vocabulary;
}

/** Merges of two known tokens into a known, longer one: so merging always ends. */
function checkMerges(
  model: JsonObject,
  vocabulary: ReadonlyMap<string, number>,
): [string, string][] {
  const list = model["merges"];
  if (!Array.isArray(list) || list.length > limits.tokenizerMerges) {
    throw invalid(JSON_FILE, `needs a list of at most ${limits.tokenizerMerges} merges`);
  }
  return list.map((merge: unknown, index) => {
    const parts: unknown[] = typeof merge === "string"
      ? merge.split(" ")
      : Array.isArray(merge)
      ? merge
      : [];
    const [left, right] = parts;
    if (
      parts.length !== 2 || typeof left !== "string" || typeof right !== "string" ||
      left === "" || right === ""
    ) throw invalid(JSON_FILE, `has a merge, number ${index}, that is not of two tokens`);
    if (![left, right, left + right].every((token) => vocabulary.has(token))) {
      throw invalid(JSON_FILE, `has a merge, number ${index}, of tokens it does not have`);
    }
    return [left, right];
  });
}

function checkAdded(file: JsonObject): AddedToken[] {
  const list = file["added_tokens"] ?? [];
  if (!Array.isArray(list) || list.length > limits.addedTokens) {
    throw invalid(JSON_FILE, `needs a list of at most ${limits.addedTokens} added tokens`);
  }
  const added = list.map((entry: unknown) => {
    const id = isObject(entry) ? entry["id"] : null;
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= limits.vocabulary) {
      throw invalid(JSON_FILE, `has an added token with the id ${String(id).slice(0, 32)}`);
    }
    return parseAddedToken(id, entry, JSON_FILE);
  });
  checkAddedTokens(added, JSON_FILE);
  return added;
}

/** Whether the template for single texts begins with a special token; null without a template. */
function addsBos(value: unknown): boolean | null {
  for (const step of steps(value, "processors")) {
    if (step["type"] !== "TemplateProcessing" || !Array.isArray(step["single"])) continue;
    const first: unknown = step["single"][0];
    return isObject(first) && "SpecialToken" in first;
  }
  return null;
}

function oneOrSequence(list: JsonObject[], inner: string): JsonObject | null {
  return list.length === 0 ? null : { type: "Sequence", [inner]: list };
}

/**
 * Reads and validates tokenizer.json.
 * @throws tokenizer_too_large, tokenizer_config_invalid, tokenizer_unsupported
 */
export function checkTokenizerJson(bytes: Uint8Array): CheckedJson {
  const file = parseJsonObject(bytes, JSON_FILE, limits.tokenizerBytes);
  const model = objectAt(file, "model", JSON_FILE);
  if (model["type"] !== "BPE") unknownStep("model", model);
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"]) {
    if (model[key]) throw unsupported(`"${key}" in ${JSON_FILE}`, "Provide tokenizer.model.");
  }
  const vocabulary = checkVocabulary(model);
  const normalizer = checkNormalizer(file["normalizer"]);
  const preTokenizer = checkPreTokenizer(file["pre_tokenizer"]);
  const scheme = preTokenizer.metaspace ? metaspaceScheme(preTokenizer.metaspace) : "never";
  const { byteLevel, leadingSpace } = checkDecoder(file["decoder"]);
  if (byteLevel !== preTokenizer.steps.some((step) => step["type"] === "ByteLevel")) {
    throw invalid(JSON_FILE, "has ByteLevel as pre-tokenizer or as decoder but not as both");
  }
  if (preTokenizer.metaspace) {
    const spaces = { type: "Replace", pattern: { String: " " }, content: SPACE_SYMBOL };
    normalizer.steps.push(spaces);
  }
  const unknown = model["unk_token"];
  return {
    vocabulary,
    merges: checkMerges(model, vocabulary),
    added: checkAdded(file),
    unknownToken: typeof unknown === "string" && vocabulary.has(unknown) ? unknown : null,
    byteFallback: booleanAt(model, "byte_fallback", false, JSON_FILE),
    fusesUnknown: booleanAt(model, "fuse_unk", false, JSON_FILE),
    ignoreMerges: booleanAt(model, "ignore_merges", false, JSON_FILE),
    normalizer: oneOrSequence(normalizer.steps, "normalizers"),
    preTokenizer: oneOrSequence(preTokenizer.steps, "pretokenizers"),
    byteLevel,
    prefix: normalizer.prepends ? "always" : scheme === "never" ? "none" : "unless space",
    leadingSpace,
    addsBos: addsBos(file["post_processor"]),
  };
}
