/** The schema of a user's database, in the form that the model is trained on. */

import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { ArcticError } from "../errors.ts";
import type { Column, ColumnType, Schema, Table } from "../sql/schema.ts";
import { SqlNames } from "./sql-names.ts";

export interface DatabaseSchema {
  readonly schema: Schema;
  readonly names: SqlNames;
}

interface ColumnInfo {
  readonly name: string;
  readonly type: string;
  /** Place in the primary key from 1 on, or 0. */
  readonly pk: number;
}

interface ForeignKey {
  readonly from: string;
  readonly table: string;
  /** Columns that the whole key has. */
  readonly columns: number;
}

/**
 * Reads tables, columns, primary and foreign keys; no rows.
 * @throws ArcticError `disk_database…` when the file is not there, not SQLite, or without tables
 */
export function readDatabaseSchema(path: string): DatabaseSchema {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new ArcticError("disk_database_missing", `There is no database ${path}: check --db.`);
  }
  if (!stats.isFile()) {
    throw new ArcticError("disk_database_missing", `${path} is no file: --db names a database.`);
  }
  let database: Database | undefined;
  try {
    database = new Database(path, { readonly: true });
    const read = readTables(database);
    if (read.schema.tables.length > 0) return read;
  } catch (cause) {
    throw databaseError(path, cause);
  } finally {
    database?.close();
  }
  throw new ArcticError(
    "disk_database_empty",
    `The database ${path} has no tables, so there is nothing to ask about.`,
  );
}

/** SQLite's refusal of a file as a sentence. */
export function databaseError(path: string, cause: unknown): ArcticError {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/file is not a database|file is encrypted/.test(message)) {
    return new ArcticError(
      "disk_database_format",
      `${path} is not a SQLite database, or it is encrypted: --db takes plain SQLite files only.`,
      { cause },
    );
  }
  return new ArcticError(
    "disk_database",
    `The database ${path} cannot be read; SQLite says: ${message}.`,
    { cause },
  );
}

function readTables(database: Database): DatabaseSchema {
  const names = new SqlNames();
  const tables = database.query<{ name: string }, []>(
    `SELECT s.name FROM sqlite_schema AS s JOIN pragma_table_list AS l ON l.name = s.name
     WHERE l.schema = 'main' AND l.type = 'table' AND s.type = 'table'
       AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid`,
  ).all().map(({ name }) => name);
  const keys = new Map(tables.map((table) => [table.toLowerCase(), columnsOf(database, table)]));
  // Tables first: where two names become one, it is theirs.
  for (const table of tables) names.forModel(table);
  return {
    names,
    schema: { tables: tables.map((table) => describe(database, table, keys, names)) },
  };
}

function columnsOf(database: Database, table: string): ColumnInfo[] {
  return database.query<ColumnInfo, [string]>(
    "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1",
  ).all(table);
}

function describe(
  database: Database,
  table: string,
  keys: ReadonlyMap<string, readonly ColumnInfo[]>,
  names: SqlNames,
): Table {
  const foreign = database.query<ForeignKey, [string]>(
    `SELECT "from", "table", COUNT(*) OVER (PARTITION BY id) AS columns
     FROM pragma_foreign_key_list(?)`,
  ).all(table).filter(({ columns }) => columns === 1);
  const own = keys.get(table.toLowerCase()) ?? [];
  const columns = own.map((column): Column => {
    // The form has references to single primary keys only.
    const parent = foreign.find(({ from }) => from.toLowerCase() === column.name.toLowerCase());
    const references = parent !== undefined && singleKey(keys.get(parent.table.toLowerCase()))
      ? names.forModel(parent.table)
      : undefined;
    return {
      name: names.forModel(column.name),
      type: plainType(column.type),
      ...(column.pk === 1 && singleKey(own) && { primaryKey: true }),
      ...(references !== undefined && { references }),
    };
  });
  const name = names.forModel(table);
  return { name, singular: name, plural: name, columns };
}

function singleKey(columns: readonly ColumnInfo[] = []): boolean {
  return columns.filter(({ pk }) => pk > 0).length === 1;
}

/** One of the model's four types, by SQLite's own rules of affinity where they fit. */
function plainType(declared: string): ColumnType {
  const type = declared.toUpperCase();
  if (/INT|BOOL/.test(type)) return "INTEGER";
  if (/DATE|TIME/.test(type)) return "DATE";
  if (/REAL|FLOA|DOUB|NUMERIC|DECIMAL|MONEY/.test(type)) return "REAL";
  return "TEXT";
}
