import { expect, test } from "bun:test";
import { demoSchema } from "../../src/sql/demo-schema.ts";
import { evaluationOptions, makeCase } from "../../src/sql/generator.ts";
import { SqlGuide } from "../../src/sql/guide.ts";
import { seededRandom } from "../../src/sql/random.ts";

test("every beginning of every query that the generator makes may go on", () => {
  const random = seededRandom("guide");
  for (let i = 0; i < 600; i++) {
    const { schema, questions } = makeCase(random, evaluationOptions(i % 2 ? "seen" : "unseen"));
    const guide = new SqlGuide(schema);
    for (const { sql } of questions.filter((asked) => asked.sql.startsWith("SELECT"))) {
      for (let end = 1; end <= sql.length; end++) {
        if (guide.viable(sql.slice(0, end))) continue;
        throw new Error(`${sql.slice(0, end)} | ${sql.slice(end)}`);
      }
    }
  }
});

const demo = new SqlGuide(demoSchema);

test.each([
  "SELECT * FROM customer_",
  "SELECT * FROM clients",
  "SELECT nam FROM",
  "SELECT nickname",
  "SELECT customers.pric",
  "SELECT clients.",
  "SELECT price FROM customers",
  "SELECT customers.name FROM orders WHERE",
  "SELECT name FROM customers WHERE price",
  "DELETE",
  "SELECT * FROM customers;",
  "SELECT SELECT",
  "SELECT * FROM SELECT",
  "SELECT * FROM (",
  "SELECT name,, ",
  "SELECT COUNT(*)) ",
  "SELECT name  ",
  "SELECT name = 'x'",
  "SELECT SUM(AVG",
  "SELECT name FROM customers DESC",
  "SELECT name FROM customers ORDER BY name LIMIT 5x",
  "SELECT name FROM customers WHERE name GROUP",
  'SELECT "name"',
])("refuses %j", (text) => expect(demo.viable(text)).toBe(false));

test.each([
  "S",
  "SELECT cust",
  "SELECT customers.n",
  "SELECT name FROM customers WHERE name LIKE 'whatever; stands -- here",
  "SELECT COUNT(",
])("lets %j go on", (text) => expect(demo.viable(text)).toBe(true));
