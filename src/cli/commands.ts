/** What each command takes and says about itself. Parsed by flags.ts, printed by help.ts. */

import type { FlagName } from "./flag-table.ts";

export interface Argument {
  readonly name: string;
  readonly required: boolean;
  readonly help: string;
  /** All that it can be, where it is a name. */
  readonly values?: readonly string[];
}

/** Inputs that exclude each other: at most one of them, or exactly one when `required`. */
export interface Alternatives {
  readonly flags: readonly FlagName[];
  readonly argument: boolean;
  readonly required: boolean;
}

export interface Command {
  readonly summary: string;
  readonly arguments: readonly Argument[];
  readonly flags: readonly FlagName[];
  readonly alternatives: readonly Alternatives[];
  /** Paragraphs of the help text. */
  readonly details: readonly string[];
  readonly example: string;
}

const model: Argument = { name: "MODEL", required: true, help: "model folder" };

export const commands = {
  prompt: {
    summary: "generate text from one prompt",
    arguments: [
      { name: "TEXT", required: false, help: "the prompt; `-`, or nothing, reads standard input" },
    ],
    flags: [
      "model",
      "system",
      "sql",
      "db",
      "unguided",
      "raw",
      "tokens",
      "maxTokens",
      "temperature",
      "topK",
      "topP",
      "minP",
      "typicalP",
      "repetitionPenalty",
      "frequencyPenalty",
      "presencePenalty",
      "dryMultiplier",
      "penaltyLastN",
      "stopOnLoop",
      "seed",
      "stop",
      "sinks",
      "window",
      "unbounded",
      "json",
      "backend",
      "io",
      "allowNan",
    ],
    alternatives: [
      { flags: ["tokens"], argument: true, required: false },
      { flags: ["raw", "system", "sql"], argument: false, required: false },
      { flags: ["tokens", "system", "sql"], argument: false, required: false },
      { flags: ["maxTokens", "unbounded"], argument: false, required: false },
      // The document is made at the end, of an output that would have to be kept until then.
      { flags: ["json", "unbounded"], argument: false, required: false },
      // A query is no endless text.
      { flags: ["sql", "unbounded"], argument: false, required: false },
      { flags: ["sql", "sinks"], argument: false, required: false },
      { flags: ["sql", "window"], argument: false, required: false },
    ],
    details: [
      "Without --model the model inside the program answers: arctic-tiny-sql, which turns questions " +
      "about tables into SQL. Its system message is a schema as CREATE TABLE statements, one a line; " +
      "without --system it is that of a shop: customers, products, orders, order_items.",
      "With --sql and --db the schema is that of your own database. The query is run, but changes " +
      "nothing: the file is opened read-only, only a single SELECT is taken, and rows and time are " +
      "limited. --json then prints one document: sql, columns, rows, row_count, truncated, error, " +
      "usage and timings.",
      "The text becomes the user's message in the model's chat template; with --raw it is the beginning " +
      "of a plain text, after the beginning-of-sequence token that the model asks for. With --tokens " +
      "the ids are taken as they are and nothing is added.",
      "One newline at the end of standard input is not part of the prompt.",
      "Generation ends at the model's end-of-sequence token, at a --stop string (which is not printed), " +
      "after --max-tokens, with --stop-on-loop when the output repeats itself, or when the model's " +
      "context is full.",
      "With --sinks, --window, --unbounded or more --max-tokens than the context has room for, the first " +
      "S tokens and the last W stay in sight and the others are forgotten (attention sinks over a " +
      "sliding window), so that memory and time a token stay the same however long the output.",
      "A model folder without a tokenizer takes --tokens only; the ids that it generates are printed, " +
      "separated by spaces, and `text` in the JSON document is empty.",
      "--json prints one document: text, tokens, finish_reason (stop, length or loop), usage (prompt_tokens, " +
      "completion_tokens, total_tokens) and timings (prefill_ms, decode_ms, " +
      "prefill_tokens_per_second, decode_tokens_per_second). An interrupted generation prints none.",
    ],
    example: 'arctic prompt --sql "How many orders did each customer place?" --db shop.sqlite',
  },
  serve: {
    summary: "answer requests over HTTP: the OpenAI API",
    arguments: [],
    flags: [
      "model",
      "host",
      "port",
      "apiKey",
      "apiKeyFile",
      "insecure",
      "tlsCert",
      "tlsKey",
      "allowedHost",
      "servedModelName",
      "context",
      "sinks",
      "window",
      "maxQueue",
      "maxConcurrent",
      "drainSeconds",
      "resumeSeconds",
      "logLevel",
      "backend",
      "io",
      "allowNan",
    ],
    alternatives: [],
    details: [
      "The API is at http://HOST:PORT/v1; /openapi.json describes it. /health answers 503 until the " +
      "model is loaded. The log goes to standard error, one JSON object a line; it never holds prompts, " +
      "answers or keys.",
      "Without keys everyone who reaches the port is served, so that only loopback addresses are listened " +
      "on unless --insecure is given. With keys each request but /health and /ready must carry one: " +
      "`Authorization: Bearer KEY`.",
      "--sinks and --window say what a request attends to that asks for an output without end and names " +
      "no window of its own. Together they are the most that a request may name.",
      "SIGTERM or Ctrl-C ends the server: it takes no more requests, and lets those that run finish for " +
      "--drain-seconds. A second one ends it at once.",
      "An engine that fails is started once again; the second time the server exits with 70.",
    ],
    example: "arctic serve --model arctic-fp8 --port 8080",
  },
  score: {
    summary: "log-probability of every token of a text",
    arguments: [],
    flags: [
      "model",
      "tokensFile",
      "textFile",
      "top",
      "sinks",
      "window",
      "backend",
      "io",
      "allowNan",
    ],
    alternatives: [{ flags: ["tokensFile", "textFile"], argument: false, required: true }],
    details: [
      'One JSON line a token: {"pos", "token", "logprob", "next"}. `logprob` is the natural logarithm ' +
      "of the token's probability after the tokens before it, null for the first. `next` is what the " +
      "model expects after this token: [id, logprob] pairs, likeliest first. Minus infinity is " +
      "written as -9999.",
      "Afterwards standard error tells the number of tokens, the mean negative log-likelihood and the " +
      "perplexity.",
    ],
    example: "arctic score --model arctic-fp8 --text-file essay.txt --top 5",
  },
  convert: {
    summary: "turn a Hugging Face checkpoint into a model folder",
    arguments: [
      { name: "SRC", required: true, help: "checkpoint folder: config.json and *.safetensors" },
      { name: "OUT", required: true, help: "model folder to write" },
    ],
    flags: ["force", "json", "backend"],
    alternatives: [],
    details: [
      "Matrices become FP8 (E4M3) with one scale a row; values that lie on that grid already are kept " +
      "exactly. A conversion that was interrupted goes on where it stopped.",
    ],
    example: "arctic convert snowflake-arctic-instruct arctic-fp8",
  },
  inspect: {
    summary: "show what a model folder holds",
    arguments: [model],
    flags: ["tensors", "json", "backend"],
    alternatives: [],
    details: [
      "--json prints one document with at least parameters, active_parameters, bytes and config; with " +
      "--tensors also every tensor.",
    ],
    example: "arctic inspect arctic-fp8",
  },
  verify: {
    summary: "check every checksum of a model folder",
    arguments: [model],
    flags: ["json", "backend"],
    alternatives: [],
    details: ["Names what is damaged and exits with 1 when anything is."],
    example: "arctic verify arctic-fp8",
  },
  synth: {
    summary: "make a model of any shape with random weights, for timing",
    arguments: [
      { name: "CONFIG.json", required: true, help: "config.json of the shape wanted" },
      { name: "OUT", required: true, help: "model folder to write" },
    ],
    flags: ["seed", "sparse", "force", "json", "backend"],
    alternatives: [],
    details: ["Without --seed the seed is 0, so the same shape gives the same model."],
    example: "arctic synth config.json random-arctic --sparse",
  },
  bench: {
    summary: "measure load, prefill and decode; or many clients at once",
    arguments: [
      { name: "WHAT", required: false, help: "`serve`: many clients at once", values: ["serve"] },
    ],
    flags: [
      "model",
      "promptTokens",
      "genTokens",
      "repeat",
      "streams",
      "arrivalTokens",
      "url",
      "servedModelName",
      "apiKey",
      "context",
      "json",
      "backend",
      "io",
      "allowNan",
    ],
    alternatives: [],
    details: [
      "Every repetition reads the same random prompt and generates without stopping at the " +
      "end-of-sequence token; one more repetition runs first and is not counted. Rates are medians.",
      "`serve` measures one stream alone, then --streams of them together, the time between tokens " +
      "while a prompt of --arrival-tokens arrives, and how long a burst of requests waits: with the " +
      "engine in this process, or over HTTP with any server that speaks the OpenAI API at --url.",
      "--json prints one document with at least prefill_tokens_per_second, decode_tokens_per_second, " +
      "weight_bytes_per_token, load_ms and adapter; with `serve` batching_ratio, gap_ms, " +
      "gap_with_arrival_ms, first_token_ms and queue_ms.",
    ],
    example: "arctic bench --model arctic-fp8 --prompt-tokens 512 --gen-tokens 64",
  },
  eval: {
    summary: "measure how good a model's answers are",
    arguments: [
      { name: "NAME", required: true, help: "what is asked: `sql`", values: ["sql"] },
    ],
    flags: [
      "unguided",
      "model",
      "n",
      "seed",
      "split",
      "verbose",
      "json",
      "backend",
      "io",
      "allowNan",
    ],
    alternatives: [],
    details: [
      "`sql` makes fresh questions about random schemas, runs the model's SQL and the reference SQL " +
      "on a database of random rows, and compares what they return. Answers are generated greedily, " +
      "among those whose names are in the schema and which SQLite can compile, unless --unguided; " +
      "the same seed asks the same questions.",
      "--json prints one document with at least execution_accuracy, valid_sql, exact_match, by_kind, " +
      "n, seed, split, tokens_per_second and expert_histogram: for each layer with a mixture of " +
      "experts the tokens that passed it, how many of them each expert took, and the fraction.",
    ],
    example: "arctic eval sql --n 500 --seed 7 --split unseen",
  },
  doctor: {
    summary: "report the adapter, its limits and what is missing",
    arguments: [],
    flags: ["json", "backend"],
    alternatives: [],
    details: [
      "Exits with 1 when nothing on this machine can run a model the way --backend asks for.",
    ],
    example: "arctic doctor",
  },
} as const satisfies Record<string, Command>;

export type CommandName = keyof typeof commands;

/** Whether `name` is a command. */
export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commands, name);
}
