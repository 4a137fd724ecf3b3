import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { randomDatabase, runQuery } from "../../src/sql/database.ts";
import { demoSchema } from "../../src/sql/demo-schema.ts";
import { evaluationOptions, makeCase } from "../../src/sql/generator.ts";
import { identifier, inventedWord, plural, splitOf } from "../../src/sql/names.ts";
import { nouns } from "../../src/sql/nouns.ts";
import { sqlMessages } from "../../src/sql/prompt.ts";
import { seededRandom } from "../../src/sql/random.ts";
import { createStatements } from "../../src/sql/schema.ts";
import { smallTalk } from "../../src/sql/small-talk.ts";

const splits = ["seen", "unseen"] as const;
const bounds = { rows: 100_000, milliseconds: 60_000 };
const clock = () => 0;

/** Words that the grammar itself uses inside names; every other word of a name has a split. */
const generic = new Set(
  ("id date name title city country email status category type description color address phone code age " +
    "quantity stock score rating level capacity population year points price amount total weight salary cost " +
    "height balance rate distance created at start end birth updated due").split(" "),
);

describe.each(splits)("questions of the %s split", (split) => {
  const random = seededRandom(`test ${split}`);
  const cases = Array.from(
    { length: 250 },
    () => makeCase(random, { ...evaluationOptions(split), questions: 8 }),
  );

  test("every reference query runs on random rows", () => {
    const failed: string[] = [];
    for (const { schema, questions } of cases) {
      const database = randomDatabase(random, schema, 12);
      for (const { sql, question } of questions) {
        const result = runQuery(database, sql, bounds, clock);
        if (!result.ok) failed.push(`${result.reason}: ${question}: ${sql}`);
      }
      database.close();
    }
    expect(failed).toEqual([]);
  });

  test("questions are plain text without left-over template marks", () => {
    for (const { questions } of cases) {
      for (const { question, sql } of questions) {
        expect(question).toMatch(/^[ -~]+$/);
        expect(question + sql).not.toMatch(/[[\]{}|]|undefined| {2}/);
      }
    }
  });

  test("order counts exactly where the query orders its result", () => {
    for (const { questions } of cases) {
      for (const { ordered, sql } of questions) expect(ordered).toBe(/ORDER BY/.test(sql));
    }
  });

  test("no name holds a word of the other split", () => {
    for (const { schema, demo } of cases) {
      if (demo) continue;
      for (const table of schema.tables) {
        const names = [
          table.singular.replaceAll(" ", "_"),
          ...table.columns.map(({ name }) => name),
        ];
        for (const part of names.flatMap((name) => name.split("_"))) {
          if (split === "seen" && generic.has(part)) continue;
          if (part === "id" || part === "date") continue;
          expect([part, splitOf(part)]).toEqual([part, split]);
        }
      }
    }
  });

  test("most kinds of question occur", () => {
    const kinds = new Set(cases.flatMap(({ questions }) => questions.map(({ kind }) => kind)));
    for (
      const kind
        of ("select where_equal where_compare and_or like in_list between null count aggregate distinct " +
          "group_by having order_by limit group_top subquery arithmetic date join join_filter join_group join_having " +
          "join_top three_tables exists").split(" ")
    ) expect(kinds).toContain(kind);
  });
});

test("the same seed makes the same questions, another seed others", () => {
  const make = (seed: string) =>
    makeCase(seededRandom(seed), { ...evaluationOptions("seen"), questions: 5 });
  expect(make("a")).toEqual(make("a"));
  expect(make("a")).not.toEqual(make("b"));
});

test("one word in about ten is held out, and there are tens of thousands of names", () => {
  const random = seededRandom("names");
  const held = nouns.filter((noun) => splitOf(noun) === "unseen").length / nouns.length;
  expect(held).toBeGreaterThan(0.06);
  expect(held).toBeLessThan(0.14);
  const invented = new Set(Array.from({ length: 30_000 }, () => inventedWord(random, "seen")));
  expect(invented.size).toBeGreaterThan(25_000);
  expect(new Set(Array.from({ length: 5000 }, () => identifier(random, "unseen"))).size)
    .toBeGreaterThan(3000);
});

test("every noun can name a table and a column without quotes", () => {
  const database = new Database(":memory:");
  const refused = nouns.filter((noun) => {
    try {
      database.exec(
        `CREATE TABLE ${plural(noun)} (id INTEGER PRIMARY KEY, ${noun} TEXT); SELECT ${noun} FROM ${
          plural(noun)
        }`,
      );
      database.exec(
        `DROP TABLE ${plural(noun)}; CREATE TABLE ${noun} (a TEXT); DROP TABLE ${noun}`,
      );
      return false;
    } catch {
      return true;
    }
  });
  expect(refused).toEqual([]);
  expect(new Set(nouns).size).toBe(nouns.length);
});

test("without a schema the system message is the demo shop", () => {
  const [system, user] = sqlMessages("How many customers are there?");
  expect(system).toEqual({ role: "system", content: createStatements(demoSchema) });
  expect(user).toEqual({ role: "user", content: "How many customers are there?" });
  expect(system?.content).toContain(
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id),",
  );
});

test("small talk is answered in words, never in SQL", () => {
  const random = seededRandom("talk");
  for (let i = 0; i < 300; i++) {
    const { prompt, answer } = smallTalk(random, "seen");
    expect(prompt.length).toBeGreaterThan(1);
    expect(prompt).not.toMatch(/[[\]{}|]/);
    expect(answer).not.toMatch(/^SELECT/);
  }
});

test("plurals of regular nouns", () => {
  expect(["city", "box", "church", "day", "order", "glass"].map(plural)).toEqual([
    "cities",
    "boxes",
    "churches",
    "days",
    "orders",
    "glasses",
  ]);
});
