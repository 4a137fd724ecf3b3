import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import fc from "fast-check";
import { quoteName, SqlNames } from "../../src/cli/sql-names.ts";

test.each([
  ["customers", "customers"],
  ["OrderDetails", "order_details"],
  ["OrderID", "order_id"],
  ["HTTPServer2", "http_server2"],
  ["Unit Price", "unit_price"],
  ["first-name!", "first_name"],
  ["__x__", "x"],
  ["2nd", "n_2nd"],
  ["größe", "größe"],
  ["%", "n_"],
])("%s is read by the model as %s", (name, expected) => {
  expect(new SqlNames().forModel(name)).toBe(expected);
});

test("two names never become one, and one spelled in two cases stays one", () => {
  const names = new SqlNames();
  expect(names.forModel("OrderDate")).toBe("order_date");
  expect(names.forModel("order_date")).toBe("order_date_2");
  expect(names.forModel("ORDERDATE")).toBe("order_date");
});

test("the model's SQL gets the database's names, quoted where they must be", () => {
  const names = new SqlNames();
  for (const name of ["Order", "Unit Price", "CustomerId", "id", "say `hi`", "Count"]) {
    names.forModel(name);
  }
  expect(names.forDatabase("SELECT order.unit_price, say_hi FROM order ORDER BY order.id")).toBe(
    "SELECT `Order`.`Unit Price`, `say ``hi``` FROM `Order` ORDER BY `Order`.id",
  );
  // Texts stay as they are, and so do calls of functions; a quoted name is a name.
  expect(names.forDatabase(`SELECT count(id), count FROM "order" WHERE x = 'order id''s'`)).toBe(
    "SELECT count(id), Count FROM `Order` WHERE x = 'order id''s'",
  );
  expect(names.forDatabase("SELECT customer_id FROM unknown")).toBe(
    "SELECT CustomerId FROM unknown",
  );
});

test("a name of another table is an error, never a text", () => {
  const names = new SqlNames();
  names.forModel("Unit Price");
  const database = new Database(":memory:");
  database.exec("CREATE TABLE t (id)");
  const sql = names.forDatabase("SELECT unit_price FROM t");
  expect(() => database.query(sql)).toThrow("no such column");
  database.close();
});

test("any name of a table comes back as that table", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 4 }), (all) => {
      const words = all.filter((name) => !/\0|^sqlite_/i.test(name) && name.isWellFormed());
      const names = new SqlNames();
      const database = new Database(":memory:");
      for (const name of words) {
        const quoted = `"${name.replaceAll('"', '""')}"`;
        database.exec(`CREATE TABLE IF NOT EXISTS ${quoted} (id)`);
        const sql = names.forDatabase(`SELECT COUNT(*) FROM ${names.forModel(name)}`);
        expect(database.query(sql).values()).toEqual([[0]]);
      }
      database.close();
    }),
  );
});

test.each([["order", true], ["select", true], ["name", false], ["Größe", true], ["a b", true]])(
  "%s needs quotes: %p",
  (name, quoted) => expect(quoteName(name)).toBe(quoted ? `\`${name}\`` : name),
);
