/** Questions that ask for counts, sums and groups of the rows of one table. */

import { comparison, conditions } from "./conditions.ts";
import { mention, numberValue, say } from "./phrase.ts";
import { aggregate, groupable, numbers, one, rows, type SingleTableKind } from "./table-words.ts";

export const count: SingleTableKind = (random, table) => {
  const where = random.chance(0.7) ? conditions(random, table, false, undefined, 0.15) : undefined;
  const question = say(
    random,
    "[How many {t} are there|Count the {t}|What is the number of {t}|How many {t} do we have|How many {t} exist" +
      "|Count all {t}|Give me the number of {t}|Tell me how many {t} there are] {w}",
    { t: rows(random, table), w: where?.text ?? "" },
  );
  return {
    kind: "count",
    question,
    sql: `SELECT COUNT(*) FROM ${table.name}${where ? ` WHERE ${where.sql}` : ""}`,
    ordered: false,
  };
};

export const aggregated: SingleTableKind = (random, table) => {
  const column = one(random, numbers(table));
  if (column === undefined) return undefined;
  const { name, words } = aggregate(random);
  const where = random.chance(0.45) ? conditions(random, table, false, column, 0.1) : undefined;
  const question = say(
    random,
    "[What is|Show|Find|Give me|Tell me|Get|Return] the {a} {c} of [all|the|all the|] {t} {w}",
    {
      a: words,
      c: mention(random, column.name),
      t: rows(random, table),
      w: where?.text ?? "",
    },
  );
  return {
    kind: "aggregate",
    question,
    sql: `SELECT ${name}(${column.name}) FROM ${table.name}${where ? ` WHERE ${where.sql}` : ""}`,
    ordered: false,
  };
};

export const groupCount: SingleTableKind = (random, table) => {
  const column = one(random, groupable(table));
  if (column === undefined) return undefined;
  const question = say(
    random,
    "[How many {t} are there for each {c}|Count the {t} per {c}|Show the number of {t} for each {c}|How many {t} are there per {c}" +
      "|How many {t} does each {c} have|Number of {t} by {c}|Count {t} by {c}|Show how many {t} there are for every {c}|List each {c} with the number of {t}]",
    { t: rows(random, table), c: mention(random, column.name) },
  );
  return {
    kind: "group_by",
    question,
    sql: `SELECT ${column.name}, COUNT(*) FROM ${table.name} GROUP BY ${column.name}`,
    ordered: false,
  };
};

export const groupAggregate: SingleTableKind = (random, table) => {
  const column = one(random, groupable(table));
  const number = one(random, numbers(table));
  if (column === undefined || number === undefined) return undefined;
  const { name, words } = aggregate(random);
  const question = say(
    random,
    "[What is|Show|Find|Give me|List] the {a} {n} of [the|] {t} [for each|per|by|for every|grouped by] {c}",
    {
      a: words,
      n: mention(random, number.name),
      t: rows(random, table),
      c: mention(random, column.name),
    },
  );
  return {
    kind: "group_by",
    question,
    sql:
      `SELECT ${column.name}, ${name}(${number.name}) FROM ${table.name} GROUP BY ${column.name}`,
    ordered: false,
  };
};

export const having: SingleTableKind = (random, table) => {
  const column = one(random, groupable(table));
  if (column === undefined) return undefined;
  const { operator, words } = comparison(random);
  const slots = { t: rows(random, table), c: mention(random, column.name), o: words };
  const number = one(random, numbers(table));
  if (number !== undefined && random.chance(0.4)) {
    const { name, words: a } = aggregate(random);
    const v = numberValue(random, number);
    const question = say(
      random,
      "[Which {c} values have|Show each {c} with|Find the {c} values with|List the {c} values with] [a|an|the] {a} {n} of {t} {o} {v}",
      { ...slots, a, n: mention(random, number.name), v },
    );
    const sql =
      `SELECT ${column.name} FROM ${table.name} GROUP BY ${column.name} HAVING ${name}(${number.name}) ${operator} ${v}`;
    return { kind: "having", question, sql, ordered: false };
  }
  const v = String(random.int(1, 12));
  const question = say(
    random,
    "[Which {c} values have {o} {v} {t}|Show each {c} with {o} {v} {t}|Which {c} has {o} {v} {t}|Find the {c} values with {o} {v} {t}" +
      "|List the {c} values that have {o} {v} {t}]",
    { ...slots, v },
  );
  return {
    kind: "having",
    question,
    sql:
      `SELECT ${column.name} FROM ${table.name} GROUP BY ${column.name} HAVING COUNT(*) ${operator} ${v}`,
    ordered: false,
  };
};

export const groupTop: SingleTableKind = (random, table) => {
  const column = one(random, groupable(table));
  if (column === undefined) return undefined;
  const most = random.chance(0.7);
  const question = say(
    random,
    most
      ? "[Which {c} has the most {t}|What is the most common {c} of the {t}|Which {c} occurs most often among the {t}|Find the {c} with the most {t}|Which {c} has the largest number of {t}]"
      : "[Which {c} has the fewest {t}|What is the least common {c} of the {t}|Find the {c} with the fewest {t}|Which {c} has the smallest number of {t}]",
    { t: rows(random, table), c: mention(random, column.name) },
  );
  return {
    kind: "group_top",
    question,
    sql: `SELECT ${column.name} FROM ${table.name} GROUP BY ${column.name} ORDER BY COUNT(*)${
      most ? " DESC" : ""
    } LIMIT 1`,
    ordered: true,
  };
};
