/** `arctic prompt --sql`: what a random model is enough for. What a trained one says: embedded.test.ts. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { arctic, temporaryFolder } from "./arctic.ts";
import { tinyTextModel } from "./tiny-text-model.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
const db = join(folder.path, "shop.sqlite");
let model = "";
beforeAll(async () => {
  model = await tinyTextModel(folder.path, {}, { max_position_embeddings: 512 });
  const database = new Database(db, { create: true });
  database.exec("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  database.close();
});
afterAll(folder.remove);

/** Unguided: a random model's answer is then its own, and ends. */
const sql = (...args: string[]) =>
  arctic(["prompt", "--backend=cpu", "--model", model, "--unguided", "--sql", ...args]);

test("an answer that is no query is printed and refused", async () => {
  const { code, stdout, stderr } = await sql("How many?", "--db", db, "--stop", "a", "--stop", "e");
  expect(code).toBe(1);
  expect(stdout).toMatch(/\n$/);
  expect(stderr).toMatch(/^arctic: The model's SQL gave no result: it is not a SELECT statement\./);
  const asked = await sql("How many?", "--db", db, "--stop", "a", "--stop", "e", "--json");
  expect(asked.code).toBe(1);
  expect(JSON.parse(asked.stdout)).toMatchObject({
    columns: null,
    rows: null,
    row_count: null,
    error: "It is not a SELECT statement.",
  });
});

test("an answer without an end is not run", async () => {
  const { code, stdout, stderr } = await sql("How many?", "--db", db, "--max-tokens", "3");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toBe(
    "arctic: The model's SQL had no end after 3 tokens. Ask more simply, or give more --max-tokens.\n",
  );
});

test.each(["", " \t "])("the empty question %j is refused", async (question) => {
  const { code, stderr } = await sql(question, "--db", db);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^arctic: The (prompt|question) is empty\./);
});

test("a question may come on standard input", async () => {
  const { stderr } = await arctic(
    ["prompt", "--backend=cpu", "--model", model, "--sql", "--db", db, "--max-tokens", "3"],
    { stdin: "How many?\n" },
  );
  expect(stderr).toContain("no end after 3 tokens");
});

test("a database that is missing, or none, is one sentence, before any model is opened", async () => {
  const missing = await arctic([
    "prompt",
    "--sql",
    "x",
    "--db",
    "no.sqlite",
    "--model",
    "no model",
  ]);
  expect([missing.code, missing.stdout]).toEqual([1, ""]);
  expect(missing.stderr).toBe("arctic: There is no database no.sqlite: check --db.\n");
  const text = join(folder.path, "text.sqlite");
  writeFileSync(text, "id,name\n".repeat(500));
  const { code, stderr } = await sql("x", "--db", text);
  expect(code).toBe(1);
  expect(stderr).toContain("is not a SQLite database, or it is encrypted");
  expect(stderr.split("\n")).toHaveLength(2);
});

test("a schema too long for the model is refused with both sizes", async () => {
  const large = join(folder.path, "large.sqlite");
  const database = new Database(large, { create: true });
  for (let i = 0; i < 40; i++) database.exec(`CREATE TABLE table_${i} (id, name, price)`);
  database.close();
  const { code, stdout, stderr } = await sql("x", "--db", large);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(
    /^arctic: The schema's 40 tables and the question take \d+ tokens, and the model's context has room for 511\./,
  );
});

test("--db alone is wrong usage", async () => {
  const { code, stderr } = await arctic(["prompt", "x", "--db", db, "--model", model]);
  expect(code).toBe(2);
  expect(stderr).toContain("give --sql, too");
});

test("a model without a tokenizer cannot be asked", async () => {
  const bare = join(folder.path, "bare");
  const config = join(folder.path, "tiny checkpoint", "config.json");
  expect((await arctic(["synth", config, bare])).code).toBe(0);
  for (const args of [["prompt", "--sql", "x"], ["eval", "sql"]]) {
    const { code, stderr } = await arctic([...args, "--model", bare, "--backend=cpu"]);
    expect(code).toBe(2);
    expect(stderr).toContain("no tokenizer");
  }
});

test("--system is the system message, an empty one none", async () => {
  const count = async (...args: string[]) => {
    const { stdout } = await arctic(
      [
        "prompt",
        "--backend=cpu",
        "--model",
        model,
        "--json",
        "--max-tokens=1",
        "the user",
        ...args,
      ],
    );
    return JSON.parse(stdout).usage.prompt_tokens;
  };
  const without = await count();
  expect(await count("--system", "")).toBe(without);
  expect(await count("--system", "and the thing")).toBeGreaterThan(without + 3);
});
