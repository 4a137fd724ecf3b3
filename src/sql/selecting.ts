/** Questions that ask for rows of one table: which, in what order, how many. */

import { conditions } from "./conditions.ts";
import { enumerate, mention, say } from "./phrase.ts";
import { dataColumns } from "./schema.ts";
import { one, rows, show, type SingleTableKind } from "./table-words.ts";

export const selectAll: SingleTableKind = (random, table) => ({
  kind: "select",
  question: say(
    random,
    "[Show|List|Give me|Get|Display|Return|Show me] [all|all the|every row of|all rows of|everything in|the whole table of] {t}",
    {
      t: rows(random, table),
    },
  ),
  sql: `SELECT * FROM ${table.name}`,
  ordered: false,
});

export const selectColumns: SingleTableKind = (random, table) => {
  const data = dataColumns(table);
  const columns = random.sample(data, Math.min(data.length, random.int(1, 3)));
  const c = enumerate(columns.map((column) => mention(random, column.name)), "and");
  const question = say(random, `${show} the {c} of [all|every|the|all the|each] {t}`, {
    c,
    t: rows(random, table),
  });
  return {
    kind: "select",
    question: question.replace(
      / (every|each) (.*)$/,
      (_, each: string) => ` ${each} ${table.singular}`,
    ),
    sql: `SELECT ${columns.map((column) => column.name).join(", ")} FROM ${table.name}`,
    ordered: false,
  };
};

export const filter: SingleTableKind = (random, table) => {
  const where = conditions(random, table, false);
  if (where === undefined) return undefined;
  if (random.chance(0.5)) {
    const which = `Which {t} ${where.text.replace(/^(that have|with|having)\b/, "have")}`;
    const asksWhich = random.chance(0.3) && which.includes("} have ");
    const question = say(
      random,
      asksWhich
        ? which
        : "[Show all {t} {w}|List {t} {w}|Show {t} {w}|Find the {t} {w}|Give me all {t} {w}" +
          "|List all {t} {w}|Get the {t} {w}|Find all {t} {w}|Show me the {t} {w}|What are the {t} {w}]",
      { t: rows(random, table), w: where.text },
    );
    return {
      kind: where.kind,
      question,
      sql: `SELECT * FROM ${table.name} WHERE ${where.sql}`,
      ordered: false,
    };
  }
  const data = dataColumns(table).filter((column) => column !== where.column);
  if (data.length === 0) return undefined;
  const columns = random.sample(data, Math.min(data.length, random.chance(0.7) ? 1 : 2));
  const c = enumerate(columns.map((column) => mention(random, column.name)), "and");
  const question = say(random, `${show} the {c} of [all|the|] {t} {w}`, {
    c,
    t: rows(random, table),
    w: where.text,
  });
  return {
    kind: where.kind,
    question,
    sql: `SELECT ${
      columns.map((column) => column.name).join(", ")
    } FROM ${table.name} WHERE ${where.sql}`,
    ordered: false,
  };
};

export const distinct: SingleTableKind = (random, table) => {
  const column = one(random, dataColumns(table, "TEXT", "DATE", "INTEGER"));
  if (column === undefined) return undefined;
  const slots = { c: mention(random, column.name), t: rows(random, table) };
  if (random.chance(0.5)) {
    const question = say(
      random,
      "[How many different {c} values are there in {t}|How many distinct {c} values do the {t} have" +
        "|Count the different {c} values of the {t}|How many unique {c} values are there among the {t}|What is the number of distinct {c} values in {t}" +
        "|How many different {c} values do the {t} have]",
      slots,
    );
    return {
      kind: "distinct",
      question,
      sql: `SELECT COUNT(DISTINCT ${column.name}) FROM ${table.name}`,
      ordered: false,
    };
  }
  const question = say(
    random,
    "[Show|List|What are|Give me|Find] the [different|distinct|unique] {c} values [of|of the|in|among the] {t}",
    slots,
  );
  return {
    kind: "distinct",
    question,
    sql: `SELECT DISTINCT ${column.name} FROM ${table.name}`,
    ordered: false,
  };
};

export const order: SingleTableKind = (random, table) => {
  const by = one(random, dataColumns(table));
  if (by === undefined) return undefined;
  const descending = random.chance(0.5);
  const shown = random.chance(0.5) ? random.sample(dataColumns(table), 1) : [];
  const t = rows(random, table);
  const direction = by.type === "DATE" && random.chance(0.6)
    ? (descending
      ? "[newest first|latest first|most recent first]"
      : "[oldest first|earliest first]")
    : descending
    ? "[in descending order|descending|from highest to lowest|in decreasing order]"
    : "[in ascending order|ascending||from lowest to highest|in increasing order]";
  const what = shown.length === 0 ? "[all|the|] {t}" : "the {c} of [all|the|] {t}";
  const question = say(
    random,
    `[Show|List|Give me|Display|Get] ${what} [sorted by|ordered by|by] {b} ${direction}`,
    {
      t,
      b: mention(random, by.name),
      c: shown.map((column) => mention(random, column.name)).join(""),
    },
  );
  const list = shown.length === 0 ? "*" : shown.map((column) => column.name).join(", ");
  return {
    kind: "order_by",
    question,
    sql: `SELECT ${list} FROM ${table.name} ORDER BY ${by.name}${descending ? " DESC" : ""}`,
    ordered: true,
  };
};

const numerals = ["", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

export const top: SingleTableKind = (random, table) => {
  const by = one(random, dataColumns(table, "INTEGER", "REAL", "DATE"));
  if (by === undefined) return undefined;
  const descending = random.chance(0.6);
  const where = random.chance(0.2) ? conditions(random, table, false, by, 0) : undefined;
  const limit = random.chance(0.35) ? 1 : random.int(2, 10);
  const extreme = by.type === "DATE"
    ? (descending ? "[latest|most recent|newest]" : "[earliest|oldest|first]")
    : descending
    ? "[highest|largest|biggest|greatest]"
    : "[lowest|smallest|least]";
  const shown = random.chance(0.4) ? random.pick(dataColumns(table)) : undefined;
  const slots = {
    t: rows(random, table),
    s: table.singular,
    b: mention(random, by.name),
    n: random.chance(0.6) ? String(limit) : (numerals[limit] as string),
    w: where?.text ?? "",
    c: shown ? mention(random, shown.name) : "",
  };
  const template = limit === 1
    ? (shown
      ? `[What is|Show|Find|Give me] the {c} of the {s} with the ${extreme} {b} {w}`
      : where
      ? `[Show|Find|Give me|List] the {s} with the ${extreme} {b} among {t} {w}`
      : `[Which {s} has|Show the {s} with|Find the {s} with|What is the {s} with] the ${extreme} {b}`)
    : shown
    ? `[Show|List|Give me|What is] the {c} of the {n} {t} with the ${extreme} {b} {w}`
    : `[Show|List|Give me|Find|What are|Which are] the {n} {t} with the ${extreme} {b} {w}`;
  const sql = `SELECT ${shown?.name ?? "*"} FROM ${table.name}${
    where ? ` WHERE ${where.sql}` : ""
  } ORDER BY ${by.name}${descending ? " DESC" : ""} LIMIT ${limit}`;
  return { kind: "limit", question: say(random, template, slots), sql, ordered: true };
};
