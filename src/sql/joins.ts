/** Kinds of question about tables that refer to each other. */

import { comparison, conditions } from "./conditions.ts";
import { mention, type Question, say } from "./phrase.ts";
import type { Random } from "./random.ts";
import {
  type Column,
  dataColumns,
  keyName,
  labelColumn,
  type Relation,
  relations,
  type Schema,
  type Table,
} from "./schema.ts";
import { aggregate, rows } from "./table-words.ts";

export type JoinKind = (random: Random, schema: Schema) => Question | undefined;

const show = "[Show|List|Give me|Find|Get|Display|What is|Show me]";

const qualified = (table: Table, column: Column): string => `${table.name}.${column.name}`;

const key = (table: Table): string => `${table.name}.${keyName(table)}`;

/** "child JOIN parent ON child.parent_id = parent.id", whatever the key is called: the child always comes first. */
function joined({ child, column, parent }: Relation): string {
  return `${child.name} JOIN ${joinStep({ child, column, parent })}`;
}

function joinStep({ child, column, parent }: Relation): string {
  return `${parent.name} ON ${child.name}.${column.name} = ${key(parent)}`;
}

function relation(random: Random, schema: Schema): Relation | undefined {
  const all = relations(schema);
  return all.length === 0 ? undefined : random.pick(all);
}

/** A foreign key and another that starts where it ends. */
function chain(random: Random, schema: Schema): [Relation, Relation] | undefined {
  const all = relations(schema);
  const chains = all.flatMap((first) =>
    all.filter((second) => second.child === first.parent && second.parent !== first.child)
      .map((second): [Relation, Relation] => [first, second])
  );
  return chains.length === 0 ? undefined : random.pick(chains);
}

const select: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const a = random.pick(dataColumns(child));
  const b = random.pick(dataColumns(parent));
  const question = say(
    random,
    `${show} the {a} of [each|every] {s} [and|together with|along with|with] the {b} of its {p}`,
    {
      a: mention(random, a.name),
      b: mention(random, b.name),
      s: child.singular,
      p: parent.singular,
    },
  );
  return {
    kind: "join",
    question,
    sql: `SELECT ${qualified(child, a)}, ${qualified(parent, b)} FROM ${joined(link)}`,
    ordered: false,
  };
};

/** "orders that belong to a customer whose city is Paris" */
function belongingTo(random: Random, parent: Table, where: string): string {
  const text = where.startsWith("whose ") && random.chance(0.35)
    ? `whose ${parent.singular} ${
      where.replace(/^whose /, "has a ").replace(/ (is|equals) /, " that $1 ")
    }`
    : `[of|that belong to|belonging to|for] [{p}|a {s}|the {s}|{p}] ${where}`;
  return say(random, text, { p: parent.plural, s: parent.singular });
}

const filter: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const where = conditions(random, parent, true, undefined, 0.12);
  if (where === undefined) return undefined;
  const slots = { t: rows(random, child), w: belongingTo(random, parent, where.text) };
  if (random.chance(0.3)) {
    const question = say(
      random,
      "[How many {t} are there|Count the {t}|What is the number of {t}|How many {t} do we have] {w}",
      slots,
    );
    return {
      kind: "join_filter",
      question,
      sql: `SELECT COUNT(*) FROM ${joined(link)} WHERE ${where.sql}`,
      ordered: false,
    };
  }
  const a = random.pick(dataColumns(child));
  const question = say(random, `${show} the {a} of [all|the|] {t} {w}`, {
    ...slots,
    a: mention(random, a.name),
  });
  return {
    kind: "join_filter",
    question,
    sql: `SELECT ${qualified(child, a)} FROM ${joined(link)} WHERE ${where.sql}`,
    ordered: false,
  };
};

const countPerParent: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const label = labelColumn(parent);
  const question = say(
    random,
    "[How many {t} does each {s} have|How many {t} are there for each {s}|Count the {t} of each {s}|Show the number of {t} per {s}" +
      "|Number of {t} for every {s}|Show the {l} of each {s} and its number of {t}|For each {s} show the {l} and the number of {t}|List every {s} with its number of {t}]",
    {
      t: rows(random, child),
      s: parent.singular,
      l: mention(random, label.name),
    },
  );
  return {
    kind: "join_group",
    question,
    sql: `SELECT ${qualified(parent, label)}, COUNT(*) FROM ${joined(link)} GROUP BY ${
      key(parent)
    }`,
    ordered: false,
  };
};

const aggregatePerParent: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const numbers = dataColumns(child, "INTEGER", "REAL");
  if (numbers.length === 0) return undefined;
  const n = random.pick(numbers);
  const { name, words } = aggregate(random);
  const group = random.chance(0.4) ? dataColumns(parent, "TEXT") : [];
  const slots = {
    t: rows(random, child),
    s: parent.singular,
    n: mention(random, n.name),
    a: words,
  };
  if (group.length > 0) {
    const g = random.pick(group);
    const question = say(
      random,
      "[What is|Show|Find|Give me] the {a} {n} of {t} [per|by|for each] {s} {g}",
      { ...slots, g: mention(random, g.name) },
    );
    return {
      kind: "join_group",
      question,
      sql: `SELECT ${qualified(parent, g)}, ${name}(${qualified(child, n)}) FROM ${
        joined(link)
      } GROUP BY ${qualified(parent, g)}`,
      ordered: false,
    };
  }
  const label = labelColumn(parent);
  const question = say(
    random,
    "[What is|Show|Find|Give me] the {a} {n} of the {t} [of each|for each|per|for every] {s}",
    slots,
  );
  return {
    kind: "join_group",
    question,
    sql: `SELECT ${qualified(parent, label)}, ${name}(${qualified(child, n)}) FROM ${
      joined(link)
    } GROUP BY ${key(parent)}`,
    ordered: false,
  };
};

const having: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const { operator, words } = comparison(random);
  const v = random.int(1, 9);
  const question = say(
    random,
    "[Which {p} have {o} {v} {t}|Show the {p} with {o} {v} {t}|List the {p} that have {o} {v} {t}|Find {p} with {o} {v} {t}]",
    {
      p: rows(random, parent),
      o: words,
      v: String(v),
      t: rows(random, child),
    },
  );
  return {
    kind: "join_having",
    question,
    sql: `SELECT ${qualified(parent, labelColumn(parent))} FROM ${joined(link)} GROUP BY ${
      key(parent)
    } HAVING COUNT(*) ${operator} ${v}`,
    ordered: false,
  };
};

const top: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, parent } = link;
  const most = random.chance(0.7);
  const numbers = dataColumns(child, "INTEGER", "REAL");
  const summed = numbers.length > 0 && random.chance(0.3) ? random.pick(numbers) : undefined;
  const limit = random.chance(0.65) ? 1 : random.int(2, 9);
  const subject = limit === 1
    ? "[Which {s} has|Show the {s} with|Find the {s} with]"
    : "[Show|List|Find|Which are] the {k} {p} with";
  const object = summed
    ? `the [${most ? "highest|largest" : "lowest|smallest"}] total {n} of {t}`
    : most
    ? "the most {t}"
    : "the fewest {t}";
  const question = say(random, `${subject} ${object}`, {
    s: parent.singular,
    p: rows(random, parent),
    t: rows(random, child),
    k: String(limit),
    n: summed ? mention(random, summed.name) : "",
  });
  const measure = summed ? `SUM(${qualified(child, summed)})` : "COUNT(*)";
  return {
    kind: "join_top",
    question,
    sql: `SELECT ${qualified(parent, labelColumn(parent))} FROM ${joined(link)} GROUP BY ${
      key(parent)
    } ORDER BY ${measure}${most ? " DESC" : ""} LIMIT ${limit}`,
    ordered: true,
  };
};

const threeTables: JoinKind = (random, schema) => {
  const links = chain(random, schema);
  if (links === undefined) return undefined;
  const [near, far] = links;
  const from = `${joined(near)} JOIN ${joinStep(far)}`;
  const a = random.pick(dataColumns(near.child));
  const slots = {
    t: rows(random, near.child),
    c: near.child.singular,
    a: mention(random, a.name),
    m: near.parent.singular,
    f: far.parent.singular,
  };
  if (random.chance(0.4)) {
    const b = random.pick(dataColumns(far.parent));
    const question = say(
      random,
      `${show} the {a} of [each|every] {c} [and|together with|along with|with] the {b} of the {f} of its {m}`,
      { ...slots, b: mention(random, b.name) },
    );
    return {
      kind: "three_tables",
      question,
      sql: `SELECT ${qualified(near.child, a)}, ${qualified(far.parent, b)} FROM ${from}`,
      ordered: false,
    };
  }
  if (random.chance(0.45)) {
    const label = labelColumn(far.parent);
    const question = say(
      random,
      "[How many {t} are there for each {f}|How many {t} does each {f} have|Count the {t} per {f}|Show the number of {t} for every {f}]",
      slots,
    );
    return {
      kind: "three_tables",
      question,
      sql: `SELECT ${qualified(far.parent, label)}, COUNT(*) FROM ${from} GROUP BY ${
        key(far.parent)
      }`,
      ordered: false,
    };
  }
  const where = conditions(random, far.parent, true, undefined, 0);
  if (where === undefined) return undefined;
  const question = say(
    random,
    `${show} the {a} of [all|the|] {t} ${belongingTo(random, far.parent, where.text)}`,
    slots,
  );
  return {
    kind: "three_tables",
    question,
    sql: `SELECT ${qualified(near.child, a)} FROM ${from} WHERE ${where.sql}`,
    ordered: false,
  };
};

const existence: JoinKind = (random, schema) => {
  const link = relation(random, schema);
  if (link === undefined) return undefined;
  const { child, column, parent } = link;
  const none = random.chance(0.6);
  const question = say(
    random,
    none
      ? "[Which {p} have no {t}|Show the {p} without any {t}|List {p} that have no {t}|Find {p} without {t}|Which {p} do not have any {t}|Show all {p} with no {t}]"
      : "[Which {p} have {t}|Show the {p} that have at least one {s}|List {p} that have {t}|Which {p} have any {t}|Show all {p} with at least one {s}]",
    { p: rows(random, parent), t: rows(random, child), s: child.singular },
  );
  return {
    kind: "exists",
    question,
    sql: `SELECT * FROM ${parent.name} WHERE ${
      none ? "NOT " : ""
    }EXISTS (SELECT 1 FROM ${child.name} WHERE ${child.name}.${column.name} = ${key(parent)})`,
    ordered: false,
  };
};

/** Kinds with their weights. */
export const joinKinds: readonly (readonly [number, JoinKind])[] = [
  [7, select],
  [9, filter],
  [7, countPerParent],
  [6, aggregatePerParent],
  [4, having],
  [5, top],
  [7, threeTables],
  [5, existence],
];
