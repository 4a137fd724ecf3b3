/** What the embedded model says: only where the checkout has it. */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { embeddedModelFolder } from "../../src/embedded-model.ts";
import { gpuMissing } from "../support/gpu.ts";
import { arctic, temporaryFolder } from "./arctic.ts";

setDefaultTimeout(60_000);

const present = embeddedModelFolder() !== undefined;
if (!present) {
  console.warn("skip: the checkout has no weights-manifest/arctic-tiny-sql/model to ask");
}

const folder = temporaryFolder();
const db = join(folder.path, "shop.sqlite");
beforeAll(() => {
  const database = new Database(db, { create: true });
  database.exec(
    `CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
     CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id));
     INSERT INTO customers VALUES (1, 'Ada', 'Paris'), (2, 'Ben', 'Oslo'), (3, 'Cleo', NULL);
     INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2);`,
  );
  database.close();
});
afterAll(folder.remove);

const backends = gpuMissing === undefined ? ["cpu", "gpu"] : ["cpu"];

describe.skipIf(!present)("the embedded model", () => {
  test.each(backends)("answers about the demo schema by itself, on %s", async (backend) => {
    const { code, stdout } = await arctic([
      "prompt",
      `--backend=${backend}`,
      "How many customers are there?",
    ]);
    expect(code).toBe(0);
    expect(stdout).toBe("SELECT COUNT(*) FROM customers\n");
  });

  test("is greedy unless told otherwise, and sees the schema in --system", async () => {
    const ask = ["prompt", "--backend=cpu", "--json", "How many lamps are there?"];
    const system = "CREATE TABLE lamps (id INTEGER PRIMARY KEY, color TEXT);";
    const answers = await Promise.all([1, 2].map(() => arctic([...ask, "--system", system])));
    expect(answers.map(({ stdout }) => JSON.parse(stdout).text)).toEqual(
      ["SELECT COUNT(*) FROM lamps", "SELECT COUNT(*) FROM lamps"],
    );
    expect(answers[0]?.stderr).not.toContain("seed");
    const drawn = await arctic([...ask, "--temperature=1"]);
    expect(drawn.stderr).toContain("seed");
  });

  test("asks a database, shows the rows, and leaves it as it was", async () => {
    const before = await Bun.file(db).bytes();
    const { code, stdout } = await arctic(
      ["prompt", "--backend=cpu", "--sql", "How many customers are there?", "--db", db],
    );
    expect(code).toBe(0);
    expect(stdout).toBe(
      "SELECT COUNT(*) FROM customers\n\nCOUNT(*)\n--------\n       3\n(1 row)\n",
    );
    expect(await Bun.file(db).bytes()).toEqual(before);
  });

  test("--json is one document with the rows", async () => {
    const { code, stdout } = await arctic(
      [
        "prompt",
        "--backend=cpu",
        "--json",
        "--sql",
        "What is the name of each customer?",
        "--db",
        db,
      ],
    );
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      sql: "SELECT name FROM customers",
      columns: ["name"],
      rows: [["Ada"], ["Ben"], ["Cleo"]],
      row_count: 3,
      truncated: false,
      error: null,
    });
    expect(document.usage.completion_tokens).toBeGreaterThan(2);
    expect(document.timings.prefill_ms).toBeGreaterThan(0);
  });

  test("without --db the SQL is about the demo schema, and said to be", async () => {
    const { code, stdout, stderr } = await arctic(
      ["prompt", "--backend=cpu", "--sql", "How many orders are there?"],
    );
    expect([code, stdout]).toEqual([0, "SELECT COUNT(*) FROM orders\n"]);
    expect(stderr).toContain("demo schema");
  });

  test("small talk gets words, not SQL; --sql refuses them", async () => {
    const talk = await arctic(["prompt", "--backend=cpu", "Who are you?"]);
    expect(talk.stdout).toContain("arctic-tiny-sql");
    const asked = ["prompt", "--backend=cpu", "--sql", "--unguided", "Who are you?", "--db", db];
    const refused = await arctic(asked);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("it is not a SELECT statement");
  });

  test("score and bench take it, too", async () => {
    const scored = await arctic(["score", "--backend=cpu", "--tokens-file=-"], {
      stdin: "1534 5 6",
    });
    expect(scored.code).toBe(0);
    expect(scored.stdout.trim().split("\n")).toHaveLength(3);
    const { code, stdout } = await arctic(
      ["bench", "--backend=cpu", "--prompt-tokens=4", "--gen-tokens=2", "--repeat=1", "--json"],
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).decode_tokens_per_second).toBeGreaterThan(0);
  });

  test("most answers to fresh questions are right, and no expert is idle", async () => {
    const { code, stdout } = await arctic(
      ["eval", "sql", "--backend=cpu", "--n=40", "--seed=20251", "--json"],
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result.execution_accuracy).toBeGreaterThan(0.8);
    for (const { counts } of result.expert_histogram) {
      expect(Math.min(...counts)).toBeGreaterThan(0);
    }
  });
});
