import { afterAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { queryFile } from "../../src/cli/sql-query.ts";
import { readDatabaseSchema } from "../../src/cli/sql-schema.ts";
import { errorCode } from "../../src/errors.ts";
import { createStatements } from "../../src/sql/schema.ts";
import { temporaryFolder } from "./arctic.ts";

const folder = temporaryFolder();
afterAll(folder.remove);
const never = new AbortController().signal;

function database(name: string, sql: string): string {
  const path = join(folder.path, name);
  const made = new Database(path, { create: true });
  made.exec(sql);
  made.close();
  return path;
}

const statements = (path: string) => createStatements(readDatabaseSchema(path).schema).split("\n");

test("a schema is read in the form of the training, whatever form it was written in", () => {
  const path = database(
    "music.sqlite",
    `CREATE TABLE [Artist] ([ArtistId] INTEGER NOT NULL PRIMARY KEY, [Name] NVARCHAR(120) DEFAULT 'x, y');
     CREATE TABLE Album (AlbumId integer primary key autoincrement, Title text, Price decimal(5,2),
       Released datetime, Live BOOLEAN, Cover BLOB, untyped, ArtistId INT NOT NULL,
       FOREIGN KEY (ArtistId) REFERENCES Artist (ArtistId) ON DELETE CASCADE);
     CREATE TABLE Plays (AlbumId INTEGER REFERENCES album, day DATE, count INTEGER, PRIMARY KEY (AlbumId, day));
     CREATE TABLE Notes (AlbumId INTEGER, day DATE, note TEXT,
       FOREIGN KEY (AlbumId, day) REFERENCES Plays (AlbumId, day));
     CREATE VIEW Loud AS SELECT * FROM Album; CREATE INDEX i ON Album (Title);`,
  );
  expect(statements(path)).toEqual([
    "CREATE TABLE artist (artist_id INTEGER PRIMARY KEY, name TEXT);",
    "CREATE TABLE album (album_id INTEGER PRIMARY KEY, title TEXT, price REAL, released DATE, " +
    "live INTEGER, cover TEXT, untyped TEXT, artist_id INTEGER REFERENCES artist(artist_id));",
    "CREATE TABLE plays (album_id INTEGER REFERENCES album(album_id), day DATE, count INTEGER);",
    "CREATE TABLE notes (album_id INTEGER, day DATE, note TEXT);",
  ]);
});

test("a table may be called like a keyword, or have a quote in its name", () => {
  const path = database(
    "odd.sqlite",
    `CREATE TABLE "order" (id); CREATE TABLE "it's" ("a ""b""");`,
  );
  expect(statements(path)).toEqual([
    "CREATE TABLE order (id TEXT);",
    "CREATE TABLE it_s (a_b TEXT);",
  ]);
});

function refusal(path: string) {
  try {
    readDatabaseSchema(path);
  } catch (error) {
    return [errorCode(error), String(error)];
  }
  return ["none", ""];
}

test("what is no database to ask is refused by name", () => {
  const garbage = join(folder.path, "garbage.sqlite");
  writeFileSync(garbage, crypto.getRandomValues(new Uint8Array(8192)));
  const short = join(folder.path, "short.sqlite");
  writeFileSync(short, "SQLite");
  mkdirSync(join(folder.path, "a folder"));
  const empty = join(folder.path, "empty.sqlite");
  writeFileSync(empty, "");
  const noTables = database("views.sqlite", "CREATE VIEW v AS SELECT 1");
  for (
    const [path, code, words] of [
      [join(folder.path, "missing.sqlite"), "disk_database_missing", "There is no database"],
      [join(folder.path, "a folder"), "disk_database_missing", "is no file"],
      [garbage, "disk_database_format", "not a SQLite database, or it is encrypted"],
      [short, "disk_database_format", "not a SQLite database"],
      [empty, "disk_database_empty", "has no tables"],
      [noTables, "disk_database_empty", "has no tables"],
    ] as const
  ) {
    const [got, message] = refusal(path);
    expect(got).toBe(code);
    expect(message).toContain(words);
    expect(message).toContain(path);
  }
});

test("a query reads and cannot write, and is given up when it takes too long", async () => {
  const path = database(
    "rows.sqlite",
    "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (9007199254740993)",
  );
  expect(await queryFile(path, "SELECT id FROM t", never)).toEqual({
    ok: true,
    columns: ["id"],
    rows: [[9007199254740993n]],
    truncated: false,
  });
  for (
    const sql of ["DELETE FROM t", "SELECT 1; DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t"]
  ) {
    expect(await queryFile(path, sql, never)).toMatchObject({ ok: false });
  }
  expect(await queryFile(path, "SELECT nope FROM t", never)).toEqual({
    ok: false,
    reason: "no such column: nope",
  });
  // Busy before its first row, where no check between rows can help.
  const endless =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT COUNT(*) FROM c";
  const started = performance.now();
  expect(await queryFile(path, endless, never, { rows: 1, milliseconds: 200 })).toEqual({
    ok: false,
    reason: "It took longer than 200 ms.",
  });
  // All of it would take a minute.
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(await queryFile(path, "SELECT COUNT(*) FROM t", never)).toMatchObject({ rows: [[1n]] });
});

test("an interrupt gives a running query up", async () => {
  const path = database("slow.sqlite", "CREATE TABLE t (id)");
  const controller = new AbortController();
  const endless =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT COUNT(*) FROM c";
  const running = queryFile(path, endless, controller.signal);
  setTimeout(() => controller.abort(), 100);
  await expect(running).rejects.toThrow();
});
