import { expect, test } from "bun:test";
import { randomDatabase, runQuery } from "../../src/sql/database.ts";
import { demoSchema } from "../../src/sql/demo-schema.ts";
import { difference, evaluateSql } from "../../src/sql/evaluate.ts";
import { evaluationOptions, makeCase } from "../../src/sql/generator.ts";
import { type Message, sqlMessages } from "../../src/sql/prompt.ts";
import { seededRandom } from "../../src/sql/random.ts";

const now = () => 0;
const bounds = { rows: 100, milliseconds: 1000 };

/** Answers of a model that knows the generator's seed. */
function references(seed: number, n: number): Map<string, string> {
  const answers = new Map<string, string>();
  const random = seededRandom(`evaluation:${seed}:unseen`);
  for (let i = 0; i < n; i++) {
    const { schema, questions } = makeCase(random, evaluationOptions("unseen"));
    for (const { question, sql } of questions) {
      answers.set(JSON.stringify(sqlMessages(question, schema)), sql);
    }
  }
  return answers;
}

test("a perfect model scores one, by every measure and kind", async () => {
  const answers = references(7, 60);
  const seen: number[] = [];
  const result = await evaluateSql(
    (messages: readonly Message[]) => answers.get(JSON.stringify(messages)) ?? "lost",
    {
      n: 60,
      seed: 7,
      split: "unseen",
      now,
      progress: (_, done) => seen.push(done),
    },
  );
  expect(result).toMatchObject({
    n: 60,
    execution_accuracy: 1,
    valid_sql: 1,
    exact_match: 1,
    failures: [],
  });
  expect(Object.values(result.by_kind).reduce((sum, kind) => sum + kind.n, 0)).toBe(60);
  expect(seen).toHaveLength(60);
});

test("a model that answers another question is valid and wrong", async () => {
  const result = await evaluateSql(() => "SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10", {
    n: 30,
    seed: 8,
    split: "seen",
    now,
  });
  expect(result).toMatchObject({ execution_accuracy: 0, valid_sql: 1, exact_match: 0 });
  expect(result.failures).toHaveLength(30);
  expect(result.failures[0]?.reason).toContain("columns");
});

test("a model that cannot write SQL is invalid and wrong", async () => {
  const result = await evaluateSql((messages) => `SELECT ${messages.length} FROM nowhere`, {
    n: 20,
    seed: 9,
    split: "seen",
    now,
  });
  expect(result).toMatchObject({ execution_accuracy: 0, valid_sql: 0 });
});

test("a half-right model is scored by half", async () => {
  const answers = references(7, 40);
  let turn = 0;
  const result = await evaluateSql(
    (messages) => turn++ % 2 === 0 ? answers.get(JSON.stringify(messages)) ?? "" : "nonsense",
    {
      n: 40,
      seed: 7,
      split: "unseen",
      now,
    },
  );
  expect(result).toMatchObject({ execution_accuracy: 0.5, valid_sql: 0.5 });
});

test("generated SQL cannot write, hide a second statement, or return without end", () => {
  const database = randomDatabase(seededRandom("db"), demoSchema, 20);
  const reason = (sql: string) => {
    const result = runQuery(database, sql, bounds, now);
    return result.ok ? "ran" : result.reason;
  };
  expect(reason("DELETE FROM orders")).toContain("not a SELECT");
  expect(reason("WITH x AS (SELECT 1) DELETE FROM orders")).not.toBe("ran");
  expect(reason("SELECT 1; DROP TABLE orders")).toContain("more than one statement");
  expect(reason("SELECT 1) UNION SELECT (2")).not.toBe("ran");
  expect(reason("SELECT ';' ")).toBe("ran");
  const all = runQuery(database, "SELECT * FROM orders, products, customers", bounds, now);
  expect(all).toMatchObject({ ok: true, truncated: true });
  expect(all.ok && all.rows.length).toBe(100);
  let time = 0;
  const slow = runQuery(database, "SELECT * FROM orders, products", {
    rows: 1000,
    milliseconds: 50,
  }, () => time++);
  expect(slow).toMatchObject({ ok: false, reason: "It took longer than 50 ms." });
  expect(runQuery(database, "SELECT COUNT(*) FROM orders", bounds, now)).toMatchObject({
    ok: true,
    rows: [[20]],
  });
  database.close();
});

test("columns of one name stay apart and keep their order", () => {
  const database = randomDatabase(seededRandom("db"), demoSchema, 3);
  const result = runQuery(
    database,
    "SELECT id, id, 5, 'x' FROM orders ORDER BY id DESC",
    bounds,
    now,
  );
  expect(result).toMatchObject({
    ok: true,
    columns: ["id", "id", "5", "'x'"],
    rows: [[3, 3, 5, "x"], [2, 2, 5, "x"], [1, 1, 5, "x"]],
  });
  database.close();
});

test("results are compared as multisets unless order is asked for", () => {
  const of = (...rows: (string | number | null)[][]) =>
    ({ ok: true, columns: ["a"], rows, truncated: false }) as const;
  expect(difference(of([1], [2], [2]), of([2], [1], [2]), false)).toBeNull();
  expect(difference(of([1], [2]), of([2], [1]), true)).toContain("other rows");
  expect(difference(of([1], [2], [2]), of([1], [1], [2]), false)).toContain("other rows");
  expect(difference(of([0.1 + 0.2]), of([0.3]), false)).toBeNull();
  expect(difference(of([null]), of([0]), false)).toContain("other rows");
  expect(difference(of([1]), of([1], [1]), false)).toContain("rows instead");
});
