/** All of argv is read here: names, values, environment variables, and what may not go together. */

import { parseArgs } from "node:util";
import { ArcticError } from "../errors.ts";
import {
  type Alternatives,
  type Argument,
  type CommandName,
  commands,
  isCommand,
} from "./commands.ts";
import { type FlagName, flags, type FlagValue, longName, variableName } from "./flag-table.ts";
import { nearest } from "./nearest.ts";

export type Options<C extends CommandName> = {
  readonly [F in (typeof commands)[C]["flags"][number]]: FlagValue<F>;
};

export interface Invocation<C extends CommandName> {
  readonly command: C;
  readonly arguments: readonly string[];
  readonly options: Options<C>;
}

export type AnyInvocation = { [C in CommandName]: Invocation<C> }[CommandName];

export type Request =
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly command: CommandName | undefined }
  | { readonly kind: "run"; readonly invocation: AnyInvocation };

type Environment = Readonly<Record<string, string | undefined>>;

function usage(message: string, command?: CommandName): ArcticError {
  const help = command === undefined ? "arctic --help" : `arctic ${command} --help`;
  return new ArcticError("usage_wrong", `${message} See \`${help}\`.`);
}

/**
 * What the command line asks for. A flag that is not given takes its environment variable, and then
 * its default.
 * @param argv arguments after the program's name
 * @throws ArcticError with exit code 2 that names the flag or the variable and what it takes
 */
export function parse(argv: readonly string[], env: Environment): Request {
  const [name, ...rest] = argv;
  if (name === undefined) throw usage("No command was given.");
  if (name === "--help" || name === "-h") return { kind: "help", command: undefined };
  if (name === "--version" || name === "-V") return { kind: "version" };
  if (name.startsWith("-")) {
    throw usage(`The command comes first, but the first argument is \`${name}\`.`);
  }
  if (!isCommand(name)) {
    throw usage(
      `\`${name}\` is no command of arctic.${hint(nearest(name, Object.keys(commands)))}`,
    );
  }
  const words = readWords(name, rest);
  if (words.help) return { kind: "help", command: name };
  return { kind: "run", invocation: invocation(name, words, env) };
}

interface Words {
  readonly help: boolean;
  readonly raws: ReadonlyMap<FlagName, readonly string[]>;
  readonly positionals: readonly string[];
}

/** Splits argv into flags and the rest; every flag is known to `command` and has a value if it needs one. */
function readWords(command: CommandName, argv: readonly string[]): Words {
  const own: readonly FlagName[] = commands[command].flags;
  const options: Record<string, { type: "string" | "boolean"; multiple: true }> = {};
  for (const flag of own) {
    const type = flags[flag].placeholder === null ? "boolean" : "string";
    options[longName(flag)] = { type, multiple: true };
  }
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const raws = new Map<FlagName, string[]>();
  const positionals: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    if (token.rawName === "--help" || token.rawName === "-h") {
      help = true;
      continue;
    }
    const flag = own.find((each) => `--${longName(each)}` === token.rawName);
    if (flag === undefined) throw unknownFlag(command, token.rawName);
    // Without `=`, `--model --json` most likely lacks the value of --model.
    const borrowed = token.inlineValue === false && token.value.startsWith("--");
    if (flags[flag].placeholder !== null && (token.value === undefined || borrowed)) {
      throw usage(
        `${token.rawName} needs a value: ${token.rawName} ${flags[flag].placeholder}.` +
          (borrowed ? ` Write ${token.rawName}=VALUE if the value begins with two hyphens.` : ""),
        command,
      );
    }
    raws.set(flag, [...raws.get(flag) ?? [], token.value ?? "true"]);
  }
  return { help, raws, positionals };
}

function hint(name: string | undefined): string {
  return name === undefined ? "" : ` Did you mean \`${name}\`?`;
}

function unknownFlag(command: CommandName, rawName: string): ArcticError {
  const takers = Object.entries(commands)
    .filter(([, each]) => each.flags.some((flag) => `--${longName(flag)}` === rawName))
    .map(([name]) => `\`arctic ${name}\``);
  if (takers.length > 0) {
    const message = `\`arctic ${command}\` has no flag ${rawName}; it belongs to ${
      takers.join(", ")
    }.`;
    return usage(message, command);
  }
  const candidates = [...commands[command].flags, "help"].map((flag) => `--${longName(flag)}`);
  const message = `\`arctic ${command}\` has no flag ${rawName}.${
    hint(nearest(rawName, candidates))
  }`;
  return usage(message, command);
}

function invocation(command: CommandName, words: Words, env: Environment): AnyInvocation {
  const spec = commands[command];
  checkArguments(command, words.positionals);
  const values = new Map<FlagName, unknown>();
  for (const flag of spec.flags) {
    const raws = words.raws.get(flag);
    const variable = variableName(flag);
    const text = env[variable];
    if (raws !== undefined) values.set(flag, flags[flag].read(raws, `--${longName(flag)}`));
    else if (text !== undefined && text !== "" && !excluded(spec.alternatives, flag, words)) {
      values.set(flag, flags[flag].read(variableTexts(flag, text), variable));
    }
  }
  for (const group of spec.alternatives) checkAlternatives(command, group, values, words);
  const options = Object.fromEntries(
    spec.flags.map((flag) => [flag, values.has(flag) ? values.get(flag) : flags[flag].fallback]),
  );
  // The table that was walked is the one that the type is made of.
  return { command, arguments: words.positionals, options } as unknown as AnyInvocation;
}

/** A repeatable flag's variable holds one text, or several as a JSON array of strings. */
function variableTexts(flag: FlagName, text: string): string[] {
  if (!flags[flag].repeatable || !text.startsWith("[")) return [text];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [text];
  }
  const isText = (each: unknown): each is string => typeof each === "string";
  return Array.isArray(parsed) && parsed.every(isText) ? parsed : [text];
}

/** What argv gives outranks the environment: an alternative given there silences the variable. */
function excluded(groups: readonly Alternatives[], flag: FlagName, words: Words): boolean {
  return groups.some((group) =>
    group.flags.includes(flag) &&
    (group.flags.some((other) => words.raws.has(other)) ||
      (group.argument && words.positionals.length > 0))
  );
}

function checkAlternatives(
  command: CommandName,
  group: Alternatives,
  values: ReadonlyMap<FlagName, unknown>,
  words: Words,
): void {
  // A switch that is off excludes nothing.
  const given = group.flags.filter((flag) => (values.get(flag) ?? false) !== false)
    .map((flag) => `--${longName(flag)}`);
  if (group.argument && words.positionals.length > 0) {
    given.push(commands[command].arguments[0]?.name ?? "");
  }
  const names = group.flags.map((flag) => `--${longName(flag)}`).join(" or ");
  if (given.length > 1) throw usage(`Give only one of ${given.join(" and ")}.`, command);
  if (given.length === 0 && group.required) throw usage(`Give ${names}.`, command);
}

function checkArguments(command: CommandName, positionals: readonly string[]): void {
  const spec: readonly Argument[] = commands[command].arguments;
  const missing = spec.filter((argument, i) => argument.required && positionals[i] === undefined);
  if (missing.length > 0) {
    const names = missing.map((argument) => argument.name).join(" and ");
    throw usage(`\`arctic ${command}\` needs ${names}.`, command);
  }
  if (positionals.length > spec.length) {
    const quotes = command === "prompt" ? " Put a prompt of several words in quotes." : "";
    throw usage(
      `\`arctic ${command}\` has no use for the argument \`${positionals[spec.length]}\`.${quotes}`,
      command,
    );
  }
  for (const [i, { name, values }] of spec.entries()) {
    const given = positionals[i];
    if (values === undefined || given === undefined || values.includes(given)) continue;
    throw usage(
      `${name} of \`arctic ${command}\` must be ${values.join(" or ")}, but it is \`${given}\`.`,
      command,
    );
  }
  if (positionals.some((argument) => argument === "") && command !== "prompt") {
    throw usage(`An argument of \`arctic ${command}\` is empty.`, command);
  }
}
