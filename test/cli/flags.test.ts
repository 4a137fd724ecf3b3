import { describe, expect, test } from "bun:test";
import { type CommandName, commands } from "../../src/cli/commands.ts";
import {
  DEFAULT_TEMPERATURE,
  type FlagName,
  flags,
  longName,
  variableName,
} from "../../src/cli/flag-table.ts";
import { type Invocation, parse } from "../../src/cli/flags.ts";
import { ArcticError } from "../../src/errors.ts";

type Environment = Record<string, string>;

/** The invocation that argv means; fails when argv asks for help or the version. */
function run<C extends CommandName>(
  command: C,
  argv: string[],
  env: Environment = {},
): Invocation<C> {
  const request = parse([command, ...argv], env);
  if (request.kind !== "run") throw new Error(`argv asks for ${request.kind}`);
  expect(request.invocation.command).toBe(command);
  return request.invocation as unknown as Invocation<C>;
}

function refusal(argv: string[], env: Environment = {}): ArcticError {
  try {
    parse(argv, env);
  } catch (error) {
    if (error instanceof ArcticError) return error;
    throw error;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

/** Two values of every flag that are right, as typed, and what they mean. */
const samples: { [F in FlagName]: readonly [string, unknown, string, unknown] } = {
  model: ["m1", "m1", "m2", "m2"],
  system: ["s1", "s1", "", ""],
  sql: ["true", true, "0", false],
  db: ["f1", "f1", "f2", "f2"],
  raw: ["true", true, "false", false],
  tokens: ["1,2,3", [1, 2, 3], "7 8", [7, 8]],
  maxTokens: ["5", 5, "-1", Infinity],
  temperature: ["0", 0, "1.5", 1.5],
  topK: ["0", 0, "12", 12],
  topP: ["0.5", 0.5, "1", 1],
  minP: ["0", 0, ".25", 0.25],
  seed: ["0", 0, "9007199254740991", 9007199254740991],
  stop: ["a", ["a"], "b", ["b"]],
  sinks: ["0", 0, "4", 4],
  window: ["1", 1, "60", 60],
  unbounded: ["true", true, "0", false],
  tokensFile: ["f", "f", "-", "-"],
  textFile: ["f", "f", "-", "-"],
  top: ["all", "all", "3", 3],
  force: ["true", true, "no", false],
  tensors: ["1", true, "0", false],
  sparse: ["yes", true, "off", false],
  unguided: ["true", true, "0", false],
  promptTokens: ["64", 64, "65", 65],
  genTokens: ["8", 8, "9", 9],
  repeat: ["1", 1, "2", 2],
  streams: ["1", 1, "16", 16],
  arrivalTokens: ["1", 1, "99", 99],
  url: ["http://a/v1", "http://a/v1", "b", "b"],
  typicalP: ["1", 1, "0.5", 0.5],
  repetitionPenalty: ["1.5", 1.5, "2", 2],
  frequencyPenalty: ["-1", -1, "0.5", 0.5],
  presencePenalty: ["-1", -1, "0.5", 0.5],
  dryMultiplier: ["0", 0, "0.8", 0.8],
  penaltyLastN: ["0", 0, "64", 64],
  stopOnLoop: ["1", true, "0", false],
  n: ["1", 1, "500", 500],
  split: ["unseen", "unseen", "seen", "seen"],
  verbose: ["true", true, "no", false],
  host: ["localhost", "localhost", "::1", "::1"],
  port: ["0", 0, "65535", 65535],
  apiKey: ["k-1", ["k-1"], "k_2.~/+=", ["k_2.~/+="]],
  apiKeyFile: ["f", "f", "g", "g"],
  insecure: ["true", true, "0", false],
  tlsCert: ["f", "f", "g", "g"],
  tlsKey: ["f", "f", "g", "g"],
  allowedHost: ["a.example", ["a.example"], "b", ["b"]],
  servedModelName: ["m", "m", "org/m:v1", "org/m:v1"],
  maxQueue: ["0", 0, "8", 8],
  maxConcurrent: ["1", 1, "8", 8],
  context: ["512", 512, "1024", 1024],
  drainSeconds: ["0", 0, "5", 5],
  resumeSeconds: ["0", 0, "60", 60],
  logLevel: ["warn", "warn", "debug", "debug"],
  json: ["on", true, "false", false],
  backend: ["cpu", "cpu", "gpu", "gpu"],
  io: ["pread", "pread", "mmap", "mmap"],
  allowNan: ["true", true, "0", false],
};

/** Arguments that a command needs before anything else can be looked at. */
const needed: Record<CommandName, string[]> = {
  prompt: [],
  serve: [],
  score: [],
  convert: ["src", "out"],
  inspect: ["dir"],
  verify: ["dir"],
  synth: ["config.json", "out"],
  bench: [],
  eval: ["sql"],
  doctor: [],
};

const pairs = (Object.keys(commands) as CommandName[]).flatMap((command) =>
  commands[command].flags.map((flag) => [command, flag] as const)
);

describe("every flag of every command", () => {
  test.each(pairs)("%s --%s: argv, environment, argv first", (command, flag) => {
    const [first, firstValue, second, secondValue] = samples[flag];
    const name = `--${longName(flag)}`;
    const variable = variableName(flag);
    // `score` wants one of two flags.
    const rest = command === "score" && flag !== "tokensFile" && flag !== "textFile"
      ? [...needed[command], "--tokens-file=f"]
      : needed[command];
    const value = (argv: string[], env: Environment = {}) =>
      (run(command, [...rest, ...argv], env).options as Record<string, unknown>)[flag];

    expect(value([`${name}=${first}`])).toEqual(firstValue);
    expect(value([], { [variable]: first })).toEqual(firstValue);
    expect(value([`${name}=${second}`], { [variable]: first })).toEqual(secondValue);
    if (flags[flag].placeholder !== null) expect(value([name, second])).toEqual(secondValue);
    else expect(value([name])).toBe(true);
  });

  test("an empty variable is no variable", () => {
    expect(run("prompt", [], { ARCTIC_TOP_P: "" }).options.topP).toBe(0.95);
  });

  test("a variable of another command's flag does no harm", () => {
    expect(() => run("inspect", ["dir"], { ARCTIC_TOP_P: "wrong" })).not.toThrow();
  });
});

describe("values", () => {
  test.each([
    [["prompt", "--temperature", "-1"], "--temperature must be a number from 0 to 100"],
    [["prompt", "--temperature", "nan"], "--temperature must be a number"],
    [["prompt", "--temperature=0x1"], "--temperature must be a number"],
    [["prompt", "--temperature=1e999"], "--temperature must be a number"],
    [["prompt", "--top-p", "0"], "--top-p must be a number above 0, up to 1"],
    [["prompt", "--top-p", "1.01"], "--top-p must be"],
    [["prompt", "--min-p", "2"], "--min-p must be a number from 0 to 1"],
    [["prompt", "--top-k", "-5"], "--top-k must be a whole number from 0"],
    [["prompt", "--top-k", "1.5"], "--top-k must be a whole number"],
    [["prompt", "--max-tokens", "0"], "--max-tokens must be a whole number from 1"],
    [["prompt", "--max-tokens", "-2"], "--max-tokens must be a whole number"],
    [["prompt", "--max-tokens", "10000000000000000"], "--max-tokens must be a whole number"],
    [["prompt", "--seed", "9007199254740992"], "--seed must be a whole number"],
    [["prompt", "--tokens", "1,2,x"], "--tokens holds `x` as token 3"],
    [["prompt", "--tokens", "1,-2"], "--tokens holds `-2` as token 2"],
    [["prompt", "--tokens", "1.5"], "--tokens holds `1.5`"],
    [["prompt", "--tokens", ","], "--tokens holds no token ids"],
    [["prompt", "--stop", ""], "--stop must be a text of 1 to 1024 bytes"],
    [["prompt", "--stop", "x".repeat(1025)], "--stop must be a text of 1 to 1024 bytes"],
    [["prompt", ...Array(17).fill("--stop=a")], "--stop must be given at most 16 times"],
    [["prompt", "--model", ""], "--model must be a path"],
    [["prompt", "--json=maybe"], "--json must be true or false"],
    [["score", "--tokens-file=f", "--top", "some"], "--top must be a whole number"],
    [["prompt", "--backend", "cuda"], "--backend must be one of auto, gpu, cpu, but it is `cuda`"],
    [["eval", "sql", "--n", "0"], "--n must be a whole number from 1 to 1000000"],
    [["eval", "sql", "--split", "all"], "--split must be one of seen, unseen"],
    [["serve", "--port", "65536"], "--port must be a whole number from 0 to 65535"],
    [["serve", "--port", "http"], "--port must be a whole number"],
    [["serve", "--host", "http://a"], "--host must be a host name or an address"],
    [["serve", "--host", ""], "--host must be a host name"],
    [["serve", "--api-key", ""], "--api-key must be 1 to 1024 letters"],
    [["serve", "--served-model-name", "a b"], "--served-model-name must be a name"],
    [["serve", "--log-level", "all"], "--log-level must be one of debug, info"],
    [["bench", "--repeat", "0"], "--repeat must be a whole number from 1 to 1000"],
  ])("%j is refused", (argv, message) => {
    const error = refusal(argv);
    expect(error.message).toContain(message);
    expect(error.exit).toBe(2);
  });

  test.each(["kéy-canary", "key canary", "key,canary", `${"k".repeat(1024)}canary`])(
    "a refused API key is not shown: %s",
    (key) => {
      const fromFlag = refusal(["serve", "--api-key", key]);
      const fromVariable = refusal(["serve"], { ARCTIC_API_KEY: key });
      expect([fromFlag.code, fromVariable.code]).toEqual(["usage_bad_value", "usage_bad_value"]);
      expect(`${fromFlag.message} ${fromVariable.message}`).not.toContain("canary");
    },
  );

  test("the error names the variable when that is where the value came from", () => {
    expect(refusal(["prompt"], { ARCTIC_TOP_P: "7" }).message).toBe(
      "ARCTIC_TOP_P must be a number above 0, up to 1, but it is `7`.",
    );
  });

  test("limits are met exactly", () => {
    expect(run("prompt", ["--max-tokens", "1048576"]).options.maxTokens).toBe(1_048_576);
    expect(run("prompt", Array(16).fill("--stop=a")).options.stop).toHaveLength(16);
    expect(run("prompt", [`--stop=${"x".repeat(1024)}`]).options.stop[0]).toHaveLength(1024);
  });

  test("--stop is repeatable, and its variable can hold several", () => {
    expect(run("prompt", ["--stop", "a", "--stop=b\n"]).options.stop).toEqual(["a", "b\n"]);
    expect(run("prompt", [], { ARCTIC_STOP: '["a","b"]' }).options.stop).toEqual(["a", "b"]);
    expect(run("prompt", [], { ARCTIC_STOP: "[a, b" }).options.stop).toEqual(["[a, b"]);
  });

  test("of a flag given twice the last counts", () => {
    expect(run("prompt", ["--seed", "1", "--seed", "2"]).options.seed).toBe(2);
  });

  test("defaults are llama.cpp's", () => {
    const { temperature, topK, topP, minP } = run("prompt", []).options;
    // The embedded model is greedy.
    expect(temperature).toBeUndefined();
    expect({ temperature: DEFAULT_TEMPERATURE, topK, topP, minP }).toEqual({
      temperature: 0.8,
      topK: 40,
      topP: 0.95,
      minP: 0.05,
    });
  });
});

describe("wrong usage", () => {
  test.each([
    [[], "No command was given."],
    [["--json", "inspect", "dir"], "The command comes first"],
    [["promt"], "`promt` is no command of arctic. Did you mean `prompt`?"],
    [["server"], "`server` is no command of arctic. Did you mean `serve`?"],
    [["constructor"], "`constructor` is no command"],
    [["prompt", "--temprature", "1"], "no flag --temprature. Did you mean `--temperature`?"],
    [["prompt", "--temp", "1"], "Did you mean `--temperature`?"],
    [["prompt", "-m", "dir"], "no flag -m."],
    [["prompt", "--top", "5"], "no flag --top; it belongs to `arctic score`"],
    [["inspect", "--io", "mmap"], "no flag --io"],
    [["prompt", "--__proto__"], "no flag --__proto__."],
    [["prompt", "--model"], "--model needs a value: --model DIR."],
    [["prompt", "--model", "--json"], "--model needs a value"],
    [["prompt", "two", "words"], "no use for the argument `words`. Put a prompt"],
    [["prompt", "--tokens", "1", "text"], "Give only one of --tokens and TEXT."],
    [["score"], "Give --tokens-file or --text-file."],
    [
      ["score", "--tokens-file=a", "--text-file=b"],
      "Give only one of --tokens-file and --text-file.",
    ],
    [["prompt", "--sql", "--raw", "x"], "Give only one of --raw and --sql."],
    [["prompt", "--sql", "--tokens", "1"], "Give only one of --tokens and --sql."],
    [["prompt", "--system", "s", "--tokens", "1"], "Give only one of --tokens and --system."],
    [["prompt", "--system", "s", "--raw", "x"], "Give only one of --raw and --system."],
    [["prompt", "--sql", "--unbounded", "x"], "Give only one of --sql and --unbounded."],
    [
      ["prompt", "--unbounded", "--max-tokens=10", "x"],
      "Give only one of --max-tokens and --unbounded.",
    ],
    [["prompt", "--unbounded", "--json", "x"], "Give only one of --json and --unbounded."],
    [["prompt", "--sql", "--sinks=1", "x"], "Give only one of --sql and --sinks."],
    [["eval"], "`arctic eval` needs NAME."],
    [["eval", "poems"], "NAME of `arctic eval` must be sql, but it is `poems`."],
    [["eval", ""], "NAME of `arctic eval` must be sql, but it is ``."],
    [["convert", "src"], "`arctic convert` needs OUT."],
    [["convert"], "`arctic convert` needs SRC and OUT."],
    [["inspect", ""], "An argument of `arctic inspect` is empty."],
    [["verify", "a", "b"], "no use for the argument `b`"],
  ])("%j", (argv, message) => {
    const error = refusal(argv);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/See `arctic [a-z -]*--help`\.$/);
    expect(error.exit).toBe(2);
  });
});

describe("argv against the environment", () => {
  test("an alternative on the command line silences the other's variable", () => {
    const { options } = run("score", ["--text-file", "t"], { ARCTIC_TOKENS_FILE: "ids" });
    expect(options.textFile).toBe("t");
    expect(options.tokensFile).toBeUndefined();
    expect(run("prompt", ["text"], { ARCTIC_TOKENS: "1" }).options.tokens).toBeUndefined();
  });

  test("a switch that is off excludes nothing", () => {
    const { options } = run("prompt", ["--sql=false", "--system", "s", "x"]);
    expect([options.sql, options.system]).toEqual([false, "s"]);
    expect(run("prompt", ["x"], { ARCTIC_RAW: "0", ARCTIC_SQL: "1" }).options.sql).toBe(true);
  });

  test("two alternatives in the environment are too many", () => {
    const env = { ARCTIC_TOKENS_FILE: "ids", ARCTIC_TEXT_FILE: "text" };
    expect(refusal(["score"], env).message).toContain("Give only one of");
  });
});

describe("words", () => {
  test("help and version", () => {
    expect(parse(["--version"], {})).toEqual({ kind: "version" });
    expect(parse(["--help"], {})).toEqual({ kind: "help", command: undefined });
    expect(parse(["score", "--help"], {})).toEqual({ kind: "help", command: "score" });
    expect(parse(["prompt", "-h", "a", "b"], {})).toEqual({ kind: "help", command: "prompt" });
  });

  test("`-` and what follows `--` are arguments", () => {
    expect(run("prompt", ["-"]).arguments).toEqual(["-"]);
    expect(run("prompt", ["--", "--help"]).arguments).toEqual(["--help"]);
  });

  test("flags may follow arguments", () => {
    const { options, arguments: rest } = run("convert", ["a", "--force", "b"]);
    expect([options.force, rest]).toEqual([true, ["a", "b"]]);
  });
});
