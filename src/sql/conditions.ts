/** Conditions on one table: the words that follow "customers …" and the SQL after WHERE. */

import { two } from "./phrase.ts";
import {
  dateValue,
  enumerate,
  mention,
  numberValue,
  quoted,
  say,
  sqlText,
  textValue,
  YEARS,
} from "./phrase.ts";
import type { Random } from "./random.ts";
import { type Column, dataColumns, type Table } from "./schema.ts";

export interface Condition {
  readonly kind: string;
  /** Follows a noun: "whose city is Paris". */
  readonly text: string;
  readonly sql: string;
  readonly column: Column;
}

type Maker = (random: Random, column: Column, name: string) => Omit<Condition, "column">;

const comparisons = [
  [">", "[above|over|greater than|more than|higher than|larger than]"],
  [">", "[above|over|greater than|more than|higher than|larger than]"],
  ["<", "[below|under|less than|lower than|smaller than]"],
  ["<", "[below|under|less than|lower than|smaller than]"],
  [">=", "[at least|not less than|no less than]"],
  ["<=", "[at most|not more than|no more than|up to]"],
  ["=", "[exactly|equal to]"],
  ["!=", "[not equal to|other than|different from]"],
] as const;

/** A comparison operator and a way to say it. */
export function comparison(random: Random): { operator: string; words: string } {
  const [operator, words] = random.pick(comparisons);
  return { operator, words: say(random, words, {}) };
}

const equals: Maker = (random, column, name) => {
  const value = textValue(random, column);
  const text = say(
    random,
    random.pick([
      "whose {c} is {v}",
      "with {c} {v}",
      "with the {c} {v}",
      "where the {c} is {v}",
      "that have {c} {v}",
      "where {c} is {v}",
      "whose {c} equals {v}",
      "with {c} equal to {v}",
      "having the {c} {v}",
    ]),
    { c: mention(random, column.name), v: quoted(random, value) },
  );
  return { kind: "where_equal", text, sql: `${name} = ${sqlText(value)}` };
};

const differs: Maker = (random, column, name) => {
  const value = textValue(random, column);
  const text = say(
    random,
    random.pick([
      "whose {c} is not {v}",
      "with a {c} other than {v}",
      "where the {c} is not {v}",
      "whose {c} differs from {v}",
      "where {c} is different from {v}",
    ]),
    { c: mention(random, column.name), v: quoted(random, value) },
  );
  return { kind: "where_equal", text, sql: `${name} != ${sqlText(value)}` };
};

const compares: Maker = (random, column, name) => {
  const { operator, words } = comparison(random);
  const value = numberValue(random, column);
  const text = say(
    random,
    "[whose {c} is|with|with|with a|where the {c} is|where {c} is|that have a|having] ",
    {
      c: mention(random, column.name),
    },
  );
  const said = / is$/.test(text) ? text : `${text} ${mention(random, column.name)}`;
  return {
    kind: "where_compare",
    text: `${said} ${words} ${value}`,
    sql: `${name} ${operator} ${value}`,
  };
};

const between: Maker = (random, column, name) => {
  const [low, high] = [Number(numberValue(random, column)), Number(numberValue(random, column))]
    .sort((a, b) => a - b);
  const text = say(
    random,
    "[whose {c} is between {a} and {b}|with {c} between {a} and {b}|with a {c} between {a} and " +
      "{b}|where the {c} is between {a} and {b}|with {c} from {a} to {b}|whose {c} lies between {a} and {b}]",
    { c: mention(random, column.name), a: String(low), b: String(high) },
  );
  return { kind: "between", text, sql: `${name} BETWEEN ${low} AND ${high}` };
};

const among: Maker = (random, column, name) => {
  const values = random.sample(column.values ?? ["Alpha", "Beta", "Gamma"], random.int(2, 3));
  const negated = random.chance(0.25);
  const list = enumerate(values.map((value) => quoted(random, value)), "or");
  const words = negated
    ? "[whose {c} is not one of {v}|whose {c} is none of {v}|where the {c} is not {v}]"
    : "[whose {c} is one of {v}|whose {c} is {v}|with {c} {v}|where the {c} is either {v}|whose {c} is either {v}]";
  const sql = `${name} ${negated ? "NOT IN" : "IN"} (${values.map(sqlText).join(", ")})`;
  return {
    kind: "in_list",
    text: say(random, words, { c: mention(random, column.name), v: list }),
    sql,
  };
};

const like: Maker = (random, column, name) => {
  const value = random.pick(textValue(random, column).split(" "));
  const length = random.int(1, Math.min(4, value.length));
  const place = random.pick(["start", "start", "end", "inside", "inside"] as const);
  const part = place === "start"
    ? value.slice(0, length)
    : place === "end"
    ? value.slice(-length)
    : random.chance(0.5)
    ? value
    : value.slice(-length);
  const words = {
    start:
      "[whose {c} starts with {v}|whose {c} begins with {v}|with a {c} that starts with {v}|with a {c} starting with {v}" +
      "|where the {c} starts with {v}|with {c} beginning with {v}]",
    end:
      "[whose {c} ends with {v}|whose {c} ends in {v}|with a {c} that ends with {v}|with a {c} ending in {v}" +
      "|where the {c} ends with {v}]",
    inside:
      "[whose {c} contains {v}|whose {c} includes {v}|with {v} in the {c}|with a {c} containing {v}|with {v} in their {c}" +
      "|where the {c} contains {v}]",
  }[place];
  const pattern = { start: `${part}%`, end: `%${part}`, inside: `%${part}%` }[place];
  const text = say(random, words, { c: mention(random, column.name), v: quoted(random, part) });
  return { kind: "like", text, sql: `${name} LIKE ${sqlText(pattern)}` };
};

const missing: Maker = (random, column, name) => {
  const c = mention(random, column.name);
  if (random.chance(0.35)) {
    const words =
      "[whose {c} is known|whose {c} is not missing|whose {c} is not null|with a known {c}|whose {c} is set|where {c} is not empty]";
    return { kind: "null", text: say(random, words, { c }), sql: `${name} IS NOT NULL` };
  }
  const words =
    "[without a {c}|with no {c}|whose {c} is missing|whose {c} is unknown|that have no {c}|where the {c} is missing" +
    "|whose {c} is null|without any {c}|where {c} is empty]";
  return { kind: "null", text: say(random, words, { c }), sql: `${name} IS NULL` };
};

const months =
  "January February March April May June July August September October November December".split(
    " ",
  );

const dated: Maker = (random, column, name) => {
  const c = mention(random, column.name);
  const [a, b] = [dateValue(random), dateValue(random)].sort() as [string, string];
  const year = String(random.int(...YEARS));
  const month = random.int(1, 12);
  const of = (words: string, slots: Record<string, string>, sql: string) => ({
    kind: "date",
    text: say(random, words, { c, ...slots }),
    sql,
  });
  switch (random.int(0, 6)) {
    case 0:
    case 1:
      return of(
        "[with {c} in {y}|with a {c} in {y}|whose {c} is in {y}|whose {c} falls in {y}|where the {c} is in {y}|with {c} in the year {y}]",
        { y: year },
        `strftime('%Y', ${name}) = '${year}'`,
      );
    case 2:
      return of(
        "[with {c} in {m} {y}|whose {c} is in {m} {y}|with a {c} in {m} {y}|whose {c} falls in {m} {y}]",
        { y: year, m: months[month - 1] as string },
        `strftime('%Y-%m', ${name}) = '${year}-${two(month)}'`,
      );
    case 3:
      return of(
        "[with {c} after {a}|whose {c} is after {a}|with a {c} after {a}|whose {c} is later than {a}|where the {c} is after {a}]",
        { a },
        `${name} > '${a}'`,
      );
    case 4:
      return of(
        "[with {c} before {a}|whose {c} is before {a}|with a {c} before {a}|whose {c} is earlier than {a}|where the {c} is before {a}]",
        { a },
        `${name} < '${a}'`,
      );
    case 5:
      return of(
        "[with {c} on {a}|whose {c} is {a}|with {c} {a}|where the {c} is {a}|with a {c} of {a}]",
        { a },
        `${name} = '${a}'`,
      );
    default:
      return of(
        "[with {c} between {a} and {b}|whose {c} is between {a} and {b}|with a {c} between {a} and {b}|with {c} from {a} to {b}]",
        { a, b },
        `${name} BETWEEN '${a}' AND '${b}'`,
      );
  }
};

/** A random condition on a data column of `table`, or undefined where it has none. */
export function condition(
  random: Random,
  table: Table,
  qualified: boolean,
  avoid?: Column,
): Condition | undefined {
  const columns = dataColumns(table).filter((column) => column !== avoid);
  if (columns.length === 0) return undefined;
  const column = random.pick(columns);
  const name = qualified ? `${table.name}.${column.name}` : column.name;
  const maker = random.chance(0.1) ? missing : makerFor(random, column);
  return { ...maker(random, column, name), column };
}

function makerFor(random: Random, column: Column): Maker {
  if (column.type === "DATE") return dated;
  if (column.type !== "TEXT") return random.weighted([[75, compares], [25, between]]);
  return random.weighted([[46, equals], [12, differs], [18, among], [24, like]]);
}

/** One condition, or two joined by AND or OR. `kind` is the kind of the first, or "and_or". */
export function conditions(
  random: Random,
  table: Table,
  qualified: boolean,
  avoid?: Column,
  two = 0.25,
): Condition | undefined {
  const first = condition(random, table, qualified, avoid);
  if (first === undefined || !random.chance(two)) return first;
  const second = condition(random, table, qualified, first.column);
  if (second === undefined || second.column === avoid) return first;
  const or = random.chance(0.35);
  return {
    kind: "and_or",
    text: `${first.text} ${or ? "or" : "and"} ${second.text}`,
    sql: `${first.sql} ${or ? "OR" : "AND"} ${second.sql}`,
    column: first.column,
  };
}
