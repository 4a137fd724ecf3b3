/** Questions from templates: "[Show|List] the {column} of all {rows}". */

import { spoken } from "./names.ts";
import type { Random } from "./random.ts";
import type { Column } from "./schema.ts";

/** A finished question and the SQL that answers it. */
export interface Question {
  /** What the question asks for, the row of the breakdown it is counted in. */
  readonly kind: string;
  readonly question: string;
  readonly sql: string;
  /** Whether the order of the rows is part of the answer. */
  readonly ordered: boolean;
}

/** Fills a template: `[a|b]` is one of its alternatives (not nested), `{x}` a slot. */
export function say(
  random: Random,
  template: string,
  slots: Readonly<Record<string, string>>,
): string {
  const chosen = template.replace(
    /\[([^\]]*)\]/g,
    (_, options: string) => random.pick(options.split("|")),
  );
  return chosen.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = slots[name];
    if (value === undefined) throw new RangeError(`no slot ${name} in "${template}"`);
    return value;
  }).replace(/ {2,}/g, " ").trim();
}

/** A name as a question says it: mostly in words, sometimes as it is written in the schema. */
export function mention(random: Random, name: string): string {
  return random.chance(0.85) ? spoken(name) : name;
}

/** "a, b and c" */
export function enumerate(items: readonly string[], conjunction: "and" | "or"): string {
  return items.length < 2
    ? items.join("")
    : `${items.slice(0, -1).join(", ")} ${conjunction} ${items.at(-1)}`;
}

export function sqlText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** A text value inside a question, quoted or bare. */
export function quoted(random: Random, value: string): string {
  return random.chance(0.4) ? `'${value}'` : random.chance(0.15) ? `"${value}"` : value;
}

export function textValue(random: Random, column: Column): string {
  return random.pick(column.values ?? ["Alpha", "Beta", "Gamma"]);
}

/** A number that lies in the column's range, as SQL and question both write it. */
export function numberValue(random: Random, column: Column): string {
  const [low, high] = column.range ?? [0, 100];
  if (column.type === "REAL" && random.chance(0.3)) {
    return (random.int(low * 10 + 1, high * 10) / 10).toString();
  }
  const value = random.int(low + 1, high);
  return String(value >= 100 && random.chance(0.6) ? Math.round(value / 10) * 10 : value);
}

/** Years that random dates fall into. */
export const YEARS = [2016, 2025] as const;

export function dateValue(random: Random): string {
  return `${random.int(...YEARS)}-${two(random.int(1, 12))}-${two(random.int(1, 28))}`;
}

export function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** The small irregularities of typed questions: case, final mark, a polite opening. */
export function asTyped(random: Random, question: string): string {
  const imperative = /^(Show|List|Give|Find|Get|Display|Return|Count|Tell)/.test(question);
  let text = question;
  if (imperative && random.chance(0.12)) {
    const opening = random.pick([
      "Please",
      "Can you",
      "Could you",
      "I want you to",
      "Please can you",
    ]);
    text = `${opening} ${text.charAt(0).toLowerCase()}${text.slice(1)}`;
  }
  const mark = imperative ? (random.chance(0.5) ? "." : "") : random.chance(0.8) ? "?" : "";
  if (random.chance(0.2)) text = text.charAt(0).toLowerCase() + text.slice(1);
  return text + mark;
}
