/** Help texts, made from the tables that argv is parsed with. */

import { type Command, type CommandName, commands } from "./commands.ts";
import { type FlagName, flags, longName, variableName } from "./flag-table.ts";

const WIDTH = 90;

/** What `arctic --help` prints. */
export function overallHelp(): string {
  const rows = Object.entries(commands).map(([name, command]) => [name, command.summary] as const);
  return [
    "arctic runs Snowflake Arctic, a mixture-of-experts language model, from one file.",
    "",
    "Usage: arctic COMMAND [ARGUMENT]... [FLAG]...",
    "",
    "Commands:",
    ...table(rows),
    "",
    "Flags:",
    ...table([
      ["-h, --help", "this text, or that of a command: arctic COMMAND --help"],
      ["-V, --version", "the version"],
    ]),
    "",
    ...paragraph(
      "Every flag can be set by an environment variable, which its command's help names. " +
        "What was asked for goes to standard output, everything else to standard error. " +
        "NO_COLOR turns colour off.",
    ),
    "",
    "Exit status: 0 done, 1 failed, 2 wrong usage, 70 the engine or the device is beyond repair,",
    "130 interrupted.",
    "",
  ].join("\n");
}

/** What `arctic COMMAND --help` prints. */
export function commandHelp(name: CommandName): string {
  const command: Command = commands[name];
  const lines = [
    `arctic ${name}: ${command.summary}`,
    "",
    `Usage: ${usageLine(name, command)}`,
    "",
  ];
  if (command.arguments.length > 0) {
    const rows = command.arguments.map((argument) => [argument.name, argument.help] as const);
    lines.push("Arguments:", ...table(rows), "");
  }
  lines.push("Flags:", ...flagTable(command.flags), "");
  for (const text of command.details) lines.push(...paragraph(text), "");
  lines.push("Example:", `  ${command.example}`, "");
  return lines.join("\n");
}

function usageLine(name: CommandName, command: Command): string {
  const parts = ["arctic", name as string];
  const shared = command.alternatives.some((group) => group.argument);
  for (const argument of shared ? [] : command.arguments) {
    parts.push(argument.required ? argument.name : `[${argument.name}]`);
  }
  for (const group of command.alternatives) {
    // Flags that may be left out and merely exclude each other say so when they meet.
    if (!group.argument && !group.required) continue;
    const names = group.argument ? command.arguments.map((argument) => argument.name) : [];
    const forms = [...names, ...group.flags.map(flagForm)].join(" | ");
    parts.push(group.required ? `(${forms})` : `[${forms}]`);
  }
  return [...parts, "[FLAG]..."].join(" ");
}

function flagForm(flag: FlagName): string {
  const { placeholder } = flags[flag];
  return placeholder === null ? `--${longName(flag)}` : `--${longName(flag)} ${placeholder}`;
}

function flagTable(names: readonly FlagName[]): string[] {
  const rows = names.flatMap((name) => [
    [flagForm(name), flags[name].help] as const,
    ["", `env ${variableName(name)}`] as const,
  ]);
  return table([...rows, ["-h, --help", "this text"]]);
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.flatMap(([left, right]) =>
    wrap(right, WIDTH - width - 2).map((line, i) =>
      `  ${(i === 0 ? left : "").padEnd(width)}${line}`
    )
  );
}

function paragraph(text: string): string[] {
  return wrap(text, WIDTH);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
