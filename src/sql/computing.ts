/** Questions that compute: with a sub-query, with arithmetic, by year or month. */

import { mention, say } from "./phrase.ts";
import { type Column, dataColumns, labelColumn } from "./schema.ts";
import { aggregate, numbers, one, rows, show, type SingleTableKind } from "./table-words.ts";

export const aboveAverage: SingleTableKind = (random, table) => {
  const number = one(random, numbers(table));
  if (number === undefined) return undefined;
  const slots = {
    t: rows(random, table),
    n: mention(random, number.name),
    c: mention(random, labelColumn(table).name),
  };
  const shown = random.chance(0.4);
  const list = shown ? labelColumn(table).name : "*";
  const subject = shown
    ? `${show} the {c} of the {t}`
    : "[Show the {t}|List all {t}|Find {t}|Show all {t}|List the {t}]";
  if (random.chance(0.6)) {
    const above = random.chance(0.6);
    const question = say(
      random,
      `${subject} [with|with a|having a] {n} [${
        above ? "above|higher than|greater than" : "below|lower than|less than"
      }] [the average|average|the mean|the average {n}]`,
      slots,
    );
    return {
      kind: "subquery",
      question,
      sql: `SELECT ${list} FROM ${table.name} WHERE ${number.name} ${
        above ? ">" : "<"
      } (SELECT AVG(${number.name}) FROM ${table.name})`,
      ordered: false,
    };
  }
  const max = random.chance(0.6);
  const question = say(
    random,
    `${subject} whose {n} [equals|is|is equal to] the [${
      max ? "maximum|highest {n}|largest {n}" : "minimum|lowest {n}|smallest {n}"
    }]`,
    slots,
  );
  return {
    kind: "subquery",
    question,
    sql: `SELECT ${list} FROM ${table.name} WHERE ${number.name} = (SELECT ${
      max ? "MAX" : "MIN"
    }(${number.name}) FROM ${table.name})`,
    ordered: false,
  };
};

const operations = [
  [
    "*",
    "[{a} times {b}|product of {a} and {b}|{a} multiplied by {b}]",
    "[Show|What is|Give me|List|Compute|Calculate]",
  ],
  ["+", "[sum of {a} and {b}|{a} plus {b}]", "[Show|What is|Give me|List|Compute|Calculate]"],
  [
    "-",
    "[difference between {a} and {b}|{a} minus {b}]",
    "[Show|What is|Give me|List|Compute|Calculate]",
  ],
] as const;

export const arithmetic: SingleTableKind = (random, table) => {
  const pair = numbers(table);
  if (pair.length < 2) return undefined;
  const [a, b] = random.sample(pair, 2) as [Column, Column];
  const [operator, words, verb] = random.pick(operations);
  const slots = {
    a: mention(random, a.name),
    b: mention(random, b.name),
    t: rows(random, table),
    s: table.singular,
  };
  const said = say(random, words, slots);
  if (random.chance(0.35)) {
    const { name, words: total } = random.pick([{ name: "SUM", words: "total" }, {
      name: "AVG",
      words: "average",
    }, { name: "MAX", words: "highest" }]);
    const question = say(random, `${verb} the {x} [of|over|for] all {t}`, {
      ...slots,
      x: `${total} of ${said}`,
    });
    return {
      kind: "arithmetic",
      question,
      sql: `SELECT ${name}(${a.name} ${operator} ${b.name}) FROM ${table.name}`,
      ordered: false,
    };
  }
  const label = labelColumn(table);
  const named = random.chance(0.5);
  const question = say(
    random,
    named
      ? `${verb} the {l} and the {x} of each {s}`
      : `${verb} the {x} [for each|of each|for every] {s}`,
    { ...slots, x: said, l: mention(random, label.name) },
  );
  return {
    kind: "arithmetic",
    question,
    sql: `SELECT ${
      named ? `${label.name}, ` : ""
    }${a.name} ${operator} ${b.name} FROM ${table.name}`,
    ordered: false,
  };
};

export const byPeriod: SingleTableKind = (random, table) => {
  const date = one(random, dataColumns(table, "DATE"));
  if (date === undefined) return undefined;
  const monthly = random.chance(0.4);
  const key = `strftime('${monthly ? "%Y-%m" : "%Y"}', ${date.name})`;
  const slots = {
    t: rows(random, table),
    c: mention(random, date.name),
    p: monthly ? "month" : "year",
  };
  const number = one(random, numbers(table));
  if (number !== undefined && random.chance(0.4)) {
    const { name, words } = aggregate(random);
    const question = say(
      random,
      "[What is|Show|Give me|Find] the {a} {n} of the {t} [per {p} of|by {p} of|for each {p} of] {c}",
      { ...slots, a: words, n: mention(random, number.name) },
    );
    return {
      kind: "date",
      question,
      sql: `SELECT ${key}, ${name}(${number.name}) FROM ${table.name} GROUP BY ${key}`,
      ordered: false,
    };
  }
  const question = say(
    random,
    "[How many {t} are there per {p} of {c}|Count the {t} by {p} of {c}|Show the number of {t} for each {p} of {c}|Number of {t} per {p} of {c}]",
    slots,
  );
  return {
    kind: "date",
    question,
    sql: `SELECT ${key}, COUNT(*) FROM ${table.name} GROUP BY ${key}`,
    ordered: false,
  };
};
