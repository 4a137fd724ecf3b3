/** What the kinds of question about one table share. */

import { type Question, say } from "./phrase.ts";
import type { Random } from "./random.ts";
import { type Column, dataColumns, type Table } from "./schema.ts";

/** Makes a question; undefined where the table lacks what it needs. */
export type SingleTableKind = (random: Random, table: Table) => Question | undefined;

/** How a question calls the rows of a table. */
export function rows(random: Random, table: Table): string {
  return random.chance(0.9) ? table.plural : table.name;
}

export function one<T>(random: Random, list: readonly T[]): T | undefined {
  return list.length === 0 ? undefined : random.pick(list);
}

export const numbers = (table: Table): Column[] => dataColumns(table, "INTEGER", "REAL");

/** Columns whose values repeat, so that grouping by them means something. */
export const groupable = (table: Table): Column[] => dataColumns(table, "TEXT");

export const show = "[Show|List|Give me|Find|Get|Display|Return|What are|Show me]";

const aggregates = [
  ["AVG", "[average|mean|average]"],
  ["SUM", "[total|sum of the|overall|combined]"],
  ["MIN", "[lowest|minimum|smallest]"],
  ["MAX", "[highest|maximum|largest]"],
] as const;

/** An aggregate function and the words for it. */
export function aggregate(random: Random): { name: string; words: string } {
  const [name, words] = random.pick(aggregates);
  return { name, words: say(random, words, {}) };
}
