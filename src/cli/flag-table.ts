/** Every flag of every command: its type, its range, its default and one line of help. */

import { limits } from "../limits.ts";
import {
  anyText,
  choice,
  decimal,
  hostName,
  integer,
  list,
  maxTokens,
  modelName,
  optional,
  path,
  secret,
  stopString,
  toggle,
  tokenIds,
  topCount,
  withDefault,
} from "./flag-kinds.ts";

/** Where a model does not ask for another. */
export const DEFAULT_TEMPERATURE = 0.8;

/** Sampling defaults are those of llama.cpp: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05. */
export const flags = {
  model: optional(
    path("DIR"),
    "model folder made by `arctic convert` or `arctic synth` (default: the embedded model)",
  ),
  system: optional(
    anyText,
    "the system message; nothing for none (default: none; with the embedded model: a demo schema)",
  ),
  sql: toggle("answer the question in SQL, and with --db run it"),
  db: optional(path("FILE"), "SQLite database that --sql asks, opened read-only"),
  raw: toggle("continue the text as it is: no chat template"),
  tokens: optional(tokenIds, "the prompt as token ids"),
  maxTokens: optional(
    maxTokens,
    "tokens to generate at most; -1: until stopped (default: until the context is full)",
  ),
  sinks: optional(
    integer(0, limits.contextTokens, "S"),
    "attend to the first S tokens for ever (default beside a window: 4)",
  ),
  window: optional(
    integer(1, limits.contextTokens, "W"),
    "attend to the last W tokens (default beside sinks: what the context has room for)",
  ),
  unbounded: toggle("generate until stopped, under --sinks and --window"),
  temperature: optional(
    decimal(0, limits.temperature, "T"),
    `randomness; 0 always takes the likeliest token (default ${DEFAULT_TEMPERATURE}; ` +
      "0 with --sql and with the embedded model)",
  ),
  topK: withDefault(
    integer(0, limits.vocabulary, "K"),
    40,
    "sample from the K likeliest tokens only; 0 for all",
  ),
  topP: withDefault(
    decimal(0, 1, "P", false),
    0.95,
    "sample from the likeliest tokens that together reach P; 1 for all",
  ),
  minP: withDefault(
    decimal(0, 1, "P"),
    0.05,
    "leave out tokens less likely than P times the likeliest; 0 for none",
  ),
  typicalP: withDefault(
    decimal(0, 1, "P", false),
    1,
    "sample from the tokens whose surprise is most typical and that together reach P; 1 for all",
  ),
  repetitionPenalty: withDefault(
    decimal(0, limits.penalty, "R", false),
    1,
    "make tokens of prompt and output less likely by this factor; 1 for none",
  ),
  frequencyPenalty: withDefault(
    decimal(-limits.penalty, limits.penalty, "F"),
    0,
    "lower a token's logit by this for each time it stands in the output",
  ),
  presencePenalty: withDefault(
    decimal(-limits.penalty, limits.penalty, "F"),
    0,
    "lower the logit of every token that stands in the output by this",
  ),
  dryMultiplier: withDefault(
    decimal(0, limits.penalty, "F"),
    0,
    "penalise tokens that would prolong a repetition (DRY); 0 for not",
  ),
  penaltyLastN: withDefault(
    integer(0, limits.penaltyTokens),
    limits.penaltyTokens,
    "tokens that the penalties look back at",
  ),
  stopOnLoop: toggle(
    `end when the last ${limits.loopTokens} tokens repeat themselves`,
  ),
  seed: optional(
    integer(0, limits.seed, "S"),
    "seed of the random numbers (default: `prompt` draws one and tells it, others take 0)",
  ),
  stop: list(
    stopString,
    limits.stopStrings,
    "end before this text; may be given again (ARCTIC_STOP: one text or a JSON array)",
  ),
  tokensFile: optional(
    path("FILE"),
    "token ids separated by white space or commas; `-` for standard input",
  ),
  textFile: optional(path("FILE"), "UTF-8 text; `-` for standard input"),
  top: withDefault(topCount, 1, "likeliest next tokens to print a line"),
  force: toggle("replace OUT when it exists"),
  tensors: toggle("list every tensor"),
  sparse: toggle("leave the weights unallocated on disk: all zero, no space taken"),
  unguided: toggle("do not keep SQL to the names of the schema"),
  promptTokens: withDefault(integer(1, limits.contextTokens), 128, "tokens of the prompt"),
  genTokens: withDefault(integer(1, limits.contextTokens), 32, "tokens to generate"),
  repeat: withDefault(integer(1, limits.benchRepeats, "R"), 3, "measured repetitions"),
  streams: withDefault(integer(1, limits.runningRequests), 8, "requests at once (`serve`)"),
  arrivalTokens: withDefault(
    integer(1, limits.contextTokens),
    1500,
    "tokens of the prompt that arrives while others generate (`serve`)",
  ),
  url: optional(
    anyText,
    "measure the server there, an address up to and with /v1, instead of a model (`serve`)",
  ),
  n: withDefault(integer(1, limits.evalQuestions), 200, "questions to ask"),
  split: withDefault(
    choice("seen", "unseen"),
    "seen",
    "words in the names and values: those of the training, or words held out from it",
  ),
  verbose: toggle("list what was answered wrongly"),
  host: withDefault(hostName, "127.0.0.1", "address to listen on; 0.0.0.0 for all"),
  port: withDefault(integer(0, 65_535, "PORT"), 8080, "port to listen on; 0 for any free one"),
  apiKey: list(
    secret,
    limits.apiKeys,
    "key that clients must send; may be given again (better in ARCTIC_API_KEY, one or a JSON array: " +
      "other users of a machine see command lines)",
  ),
  apiKeyFile: optional(path("FILE"), "file with one more key in each line"),
  insecure: toggle("listen on other than loopback addresses although no key is asked for"),
  tlsCert: optional(path("FILE"), "certificate chain in PEM: serve HTTPS"),
  tlsKey: optional(path("FILE"), "private key of --tls-cert in PEM"),
  allowedHost: list(
    hostName,
    limits.allowedHosts,
    "name under which clients may reach the server, besides --host and loopback; may be given again",
  ),
  servedModelName: optional(
    modelName,
    "model name in requests and answers (default: that of the model folder)",
  ),
  maxQueue: withDefault(
    integer(0, limits.waitingRequests),
    limits.waitingRequests,
    "answers that may wait for a place before more are refused",
  ),
  maxConcurrent: optional(
    integer(1, limits.serverChoices),
    "answers that one API key may have running or waiting (default: no bound of its own)",
  ),
  context: optional(
    integer(1, limits.servedTokens),
    "tokens that keys and values are kept for, of all requests together (default: what 1 GiB holds, " +
      "and at least two of the model's contexts)",
  ),
  drainSeconds: withDefault(
    integer(0, limits.drainSeconds, "S"),
    30,
    "seconds that running answers have when the server is told to end",
  ),
  resumeSeconds: withDefault(
    integer(0, limits.resumeSeconds, "S"),
    0,
    "seconds for which a broken stream can be taken up again; 0 for never",
  ),
  logLevel: withDefault(
    choice("debug", "info", "warn", "error", "silent"),
    "info",
    "what the log on standard error tells",
  ),
  json: toggle("print one JSON document on standard output"),
  io: withDefault(
    choice("mmap", "pread"),
    "mmap",
    "how weights are read; pread where the disk may change or vanish underneath",
  ),
  allowNan: toggle("load weights even if they hold codes that are no number"),
  backend: withDefault(
    choice("auto", "gpu", "cpu"),
    "auto",
    "auto: a WebGPU adapter when there is one, else the CPU",
  ),
} as const;

export type FlagName = keyof typeof flags;
export type FlagValue<F extends FlagName> = (typeof flags)[F]["fallback"];

/** `maxTokens` as it is typed: `max-tokens`. */
export function longName(flag: string): string {
  return flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `maxTokens` in the environment: `ARCTIC_MAX_TOKENS`. */
export function variableName(flag: string): string {
  return `ARCTIC_${longName(flag).replaceAll("-", "_").toUpperCase()}`;
}
