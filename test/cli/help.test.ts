import { describe, expect, test } from "bun:test";
import { type Command, type CommandName, commands } from "../../src/cli/commands.ts";
import { longName, variableName } from "../../src/cli/flag-table.ts";
import { commandHelp, overallHelp } from "../../src/cli/help.ts";

const names = Object.keys(commands) as CommandName[];

describe("help", () => {
  test("names every command with its summary", () => {
    for (const name of names) {
      expect(overallHelp()).toMatch(new RegExp(`^  ${name} +${commands[name].summary}$`, "m"));
    }
    for (const code of ["0 done", "1 failed", "2 wrong usage", "70 ", "130 interrupted"]) {
      expect(overallHelp()).toContain(code);
    }
  });

  test.each(names)("%s: usage, every argument, flag and variable, an example", (name) => {
    const text = commandHelp(name);
    const command: Command = commands[name];
    expect(text).toContain(`Usage: arctic ${name}`);
    expect(text).toContain(`  ${command.example}\n`);
    for (const argument of command.arguments) {
      expect(text).toContain(`${argument.name} `);
      expect(text).toContain(argument.help);
    }
    for (const flag of command.flags) {
      expect(text).toMatch(new RegExp(`^  --${longName(flag)}( |$)`, "m"));
      expect(text).toContain(`env ${variableName(flag)}\n`);
    }
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test.each(names)("%s names no flag that it does not have", (name) => {
    const own = [...commands[name].flags.map((flag) => `--${longName(flag)}`), "--help"];
    for (const flag of commandHelp(name).match(/--[a-z]+(-[a-z]+)*/g) ?? []) {
      expect(own).toContain(flag);
    }
  });
});
