import { expect, test } from "bun:test";
import { jsonCell, tableLines } from "../../src/cli/sql-table.ts";
import { limits } from "../../src/limits.ts";

test("columns are as wide as their widest value; numbers are right-aligned", () => {
  expect(tableLines(["name", "n", "mixed"], [["Ada", 7, 1], ["Benedict", 12, "x"]])).toEqual([
    "name     |  n | mixed",
    "---------+----+------",
    "Ada      |  7 | 1",
    "Benedict | 12 | x",
  ]);
});

test("NULL is shown, and does not turn numbers to the left", () => {
  expect(tableLines(["n"], [[null], [5]])).toEqual(["   n", "----", "NULL", "   5"]);
});

test("no rows leave the heading", () => {
  expect(tableLines(["a", "b"], [])).toEqual(["a | b", "--+--"]);
});

test("long values are cut, at the limit and not before it", () => {
  const most = limits.sqlCellCharacters;
  const shown = (text: string) => tableLines(["x"], [[text]])[2];
  expect(shown("a".repeat(most))).toBe("a".repeat(most));
  expect(shown("a".repeat(most + 1))).toBe(`${"a".repeat(most - 1)}…`);
  expect(shown("😀".repeat(most))).toBe("😀".repeat(most));
  expect(shown("😀".repeat(most + 1))).toBe(`${"😀".repeat(most - 1)}…`);
});

test("characters of double width keep the columns aligned", () => {
  const [, rule, first, second] = tableLines(["t", "n"], [["日本", 1], ["abcd", 2]]);
  expect([rule, first, second]).toEqual(["-----+--", "日本 | 1", "abcd | 2"]);
});

test("nothing in a value or a name can steer the terminal or break a row", () => {
  const text = tableLines(["a\x1b[31m"], [["line\nbreak\r\x9b2J"]]).join("\n");
  expect(text).toContain("a\\x1b[31m");
  expect(text).toContain("line\\x0abreak\\x0d\\x9b2J");
  expect(text.split("\n")).toHaveLength(3);
});

test("whole numbers beyond 2^53 and blobs are text in JSON, the others themselves", () => {
  expect([1n, 2n ** 53n - 1n, 2n ** 53n, -(2n ** 62n), 1.5, "x", null].map(jsonCell)).toEqual([
    1,
    9007199254740991,
    "9007199254740992",
    "-4611686018427387904",
    1.5,
    "x",
    null,
  ]);
  expect(jsonCell(Uint8Array.of(0, 255))).toBe("x'00ff'");
  expect(tableLines(["b"], [[Uint8Array.of(1)]])[2]).toBe("x'01'");
});
