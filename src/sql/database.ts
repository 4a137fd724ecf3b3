/** A SQLite database of random rows for a schema, and queries against it that cannot change it. */

import { Database } from "bun:sqlite";
import { limits } from "../limits.ts";
import { dateValue } from "./phrase.ts";
import type { Random } from "./random.ts";
import { type Column, createStatements, type Schema } from "./schema.ts";

/** Share of missing values in columns that are no keys. */
const NULLS = 0.08;

/** An in-memory database with `rows` random rows in each table of `schema`, now read-only. */
export function randomDatabase(random: Random, schema: Schema, rows: number): Database {
  const database = new Database(":memory:");
  database.exec(createStatements(schema));
  for (const table of schema.tables) {
    const marks = table.columns.map(() => "?").join(", ");
    const insert = database.prepare(`INSERT INTO ${table.name} VALUES (${marks})`);
    for (let id = 1; id <= rows; id++) {
      insert.run(...table.columns.map((column) => randomValue(random, column, id, rows)));
    }
    insert.finalize();
  }
  database.exec("PRAGMA query_only = ON");
  return database;
}

function randomValue(
  random: Random,
  column: Column,
  id: number,
  rows: number,
): string | number | null {
  if (column.primaryKey) return id;
  // A few rows that nothing refers to, so that "without any" has an answer.
  if (column.references !== undefined) return random.int(1, Math.max(1, Math.floor(rows * 0.7)));
  if (random.chance(NULLS)) return null;
  if (column.type === "TEXT") return random.pick(column.values ?? ["Alpha", "Beta", "Gamma"]);
  if (column.type === "DATE") return dateValue(random);
  const [low, high] = column.range ?? [0, 100];
  return column.type === "INTEGER" ? random.int(low, high) : random.int(low * 10, high * 10) / 10;
}

export type Cell = string | number | bigint | boolean | null | Uint8Array;

export type QueryResult =
  | {
    readonly ok: true;
    readonly columns: readonly string[];
    readonly rows: readonly (readonly Cell[])[];
    readonly truncated: boolean;
  }
  | { readonly ok: false; readonly reason: string };

/** Bounds of one query. */
export interface QueryLimits {
  readonly rows: number;
  readonly milliseconds: number;
}

export const queryLimits: QueryLimits = {
  rows: limits.sqlRows,
  milliseconds: limits.sqlMilliseconds,
};

/**
 * Runs one SELECT. Anything else, a second statement, an error or a broken limit is a refusal with its
 * reason. Time is checked between rows: SQLite offers no interrupt from here, so a query that
 * computes long before its first row is bounded by the size of the database alone.
 * @param now a monotonic clock in milliseconds
 */
export function runQuery(
  database: Database,
  sql: string,
  bounds: QueryLimits,
  now: () => number,
): QueryResult {
  // Compiled alone first: what is no statement by itself must not become one inside the other.
  const compiled = compileQuery(database, sql);
  if (!compiled.ok) return compiled;
  try {
    return gather(database, sql, compiled.columns, bounds, now);
  } catch (error) {
    return { ok: false, reason: message(error) };
  }
}

/** Whether SQLite can compile one SELECT against the database's schema. No row is read. */
export function compileQuery(
  database: Database,
  sql: string,
): { readonly ok: true; readonly columns: readonly string[] } | (QueryResult & { ok: false }) {
  if (!/^\s*(SELECT|WITH)\b/i.test(sql)) {
    return { ok: false, reason: "It is not a SELECT statement." };
  }
  if (sql.length > limits.sqlBytes) {
    return { ok: false, reason: `It is longer than ${limits.sqlBytes} characters.` };
  }
  if (hasSecondStatement(sql)) return { ok: false, reason: "It holds more than one statement." };
  try {
    const statement = database.prepare(sql);
    const columns = statement.columnNames;
    statement.finalize();
    return { ok: true, columns };
  } catch (error) {
    return { ok: false, reason: message(error) };
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Steps through the rows. The outer SELECT gives columns of one name different ones. */
function gather(
  database: Database,
  sql: string,
  columns: readonly string[],
  bounds: QueryLimits,
  now: () => number,
): QueryResult {
  const end = now() + bounds.milliseconds;
  const statement = database.prepare<Record<string, Cell>, []>(
    `SELECT * FROM (${sql.replace(/;\s*$/, "")}\n) LIMIT ${bounds.rows + 1}`,
  );
  try {
    const rows: Cell[][] = [];
    for (const row of statement.iterate()) {
      if (rows.length === bounds.rows) return { ok: true, columns, rows, truncated: true };
      if (now() > end) {
        return { ok: false, reason: `It took longer than ${bounds.milliseconds} ms.` };
      }
      rows.push(statement.columnNames.map((name) => row[name] ?? null));
    }
    return { ok: true, columns, rows, truncated: false };
  } finally {
    statement.finalize();
  }
}

/** Whether something other than white space follows a semicolon outside quotes. */
function hasSecondStatement(sql: string): boolean {
  const bare = sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]/g, "''");
  return /;\s*\S/.test(bare) || /--|\/\*/.test(bare);
}
