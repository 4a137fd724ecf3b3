/**
 * Makes questions. The one definition of what arctic-tiny-sql is trained on and evaluated on: the
 * dump of training data and `eval sql` both call `makeCase`.
 */

import { demoQuestion } from "./demo-questions.ts";
import { demoSchema } from "./demo-schema.ts";
import { joinKinds } from "./joins.ts";
import { capitalised, type Split, word } from "./names.ts";
import { asTyped, type Question } from "./phrase.ts";
import type { Random } from "./random.ts";
import { randomSchema, relations, type Schema } from "./schema.ts";
import { singleTableKinds } from "./single-table.ts";

export interface CaseOptions {
  readonly split: Split;
  /** Chance that the schema is the demo shop. Its names are no secret, so not for held-out names. */
  readonly demo: number;
  /** Largest number of tables, 1 to 4. */
  readonly maxTables: number;
  /** Fewest and most data columns of a table. */
  readonly columns: readonly [number, number];
  /** Chance that primary keys are called after their tables rather than "id". */
  readonly namedKeys: number;
  /** Questions about the one schema. */
  readonly questions: number;
}

/** A schema and questions about it. */
export interface Case {
  readonly schema: Schema;
  readonly demo: boolean;
  readonly questions: readonly Question[];
}

/** What `eval sql` asks: full-size schemas, one question each. */
export function evaluationOptions(split: Split): CaseOptions {
  return {
    split,
    demo: split === "seen" ? 0.1 : 0,
    maxTables: 4,
    columns: [2, 5],
    namedKeys: 0.12,
    questions: 1,
  };
}

export function makeCase(random: Random, options: CaseOptions): Case {
  const demo = random.chance(options.demo);
  const schema = demo ? demoWithFreshValues(random, options.split) : randomSchema(random, {
    split: options.split,
    tables: tableCount(random, options.maxTables),
    columns: options.columns,
    namedKeys: options.namedKeys,
  });
  const questions = Array.from(
    { length: options.questions },
    () => makeQuestion(random, schema, demo),
  );
  return { schema, demo, questions };
}

function tableCount(random: Random, most: number): number {
  const weights = [[34, 1], [32, 2], [24, 3], [10, 4]] as const;
  return random.weighted(weights.filter(([, count]) => count <= most));
}

function makeQuestion(random: Random, schema: Schema, demo: boolean): Question {
  for (;;) {
    const made = demo && random.chance(0.6)
      ? demoQuestion(random, demoValues(random, schema))
      : relations(schema).length > 0 && random.chance(0.45)
      ? random.weighted(joinKinds)(random, schema)
      : random.weighted(singleTableKinds)(random, random.pick(schema.tables));
    if (made !== undefined) return { ...made, question: asTyped(random, made.question) };
  }
}

/** The demo shop with some of its text values replaced, so that values are copied, not remembered. */
function demoWithFreshValues(random: Random, split: Split): Schema {
  return {
    tables: demoSchema.tables.map((table) => ({
      ...table,
      columns: table.columns.map((column) => {
        if (column.values === undefined) return column;
        const lower = column.name === "status";
        const values = column.values.map((value) => {
          if (random.chance(lower ? 0.8 : 0.4)) return value;
          const fresh = word(random, split);
          if (column.name === "email") {
            return `${fresh}@${random.pick(["mail.test", "post.test", "example.com"])}`;
          }
          if (table.name === "customers" && column.name === "name") {
            return `${capitalised(fresh)} ${capitalised(word(random, split))}`;
          }
          return lower ? fresh : capitalised(fresh);
        });
        return { ...column, values };
      }),
    })),
  };
}

function demoValues(random: Random, schema: Schema) {
  const of = (table: string, name: string): string => {
    const column = schema.tables.find((each) => each.name === table)?.columns.find((each) =>
      each.name === name
    );
    return random.pick(column?.values ?? []);
  };
  return {
    person: of("customers", "name"),
    city: of("customers", "city"),
    product: of("products", "name"),
    category: of("products", "category"),
    status: of("orders", "status"),
  };
}
