/** The thread of sql-query.ts: opens the database read-only, runs one query, answers, and is done. */

import { Database } from "bun:sqlite";
import { type QueryResult, runQuery } from "../sql/database.ts";
import type { QueryJob } from "./sql-query.ts";

declare const self: Worker;

function run({ path, sql, bounds }: QueryJob): QueryResult {
  const database = new Database(path, { readonly: true, safeIntegers: true });
  try {
    database.exec("PRAGMA query_only = ON");
    return runQuery(database, sql, bounds, () => performance.now());
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    database.close();
  }
}

self.onmessage = ({ data }: MessageEvent<QueryJob>) => self.postMessage(run(data));
