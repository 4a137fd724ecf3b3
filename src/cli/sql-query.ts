/**
 * Runs a generated query against a user's database, in a thread of its own: SQLite cannot be stopped
 * from here while it computes, but a thread can be left behind when the process ends.
 */

import { ArcticError } from "../errors.ts";
import { type QueryLimits, queryLimits, type QueryResult } from "../sql/database.ts";
import { workerUrl } from "../worker-url.ts";

/** What the thread is asked. */
export interface QueryJob {
  readonly path: string;
  readonly sql: string;
  readonly bounds: QueryLimits;
}

/**
 * The rows, or why there are none; a query that takes too long is given up, whatever it does.
 * @throws the signal's reason when it is aborted
 */
export function queryFile(
  path: string,
  sql: string,
  signal: AbortSignal,
  bounds: QueryLimits = queryLimits,
): Promise<QueryResult> {
  const worker = new Worker(workerUrl("src/cli/sql-worker"));
  return new Promise<QueryResult>((resolve, reject) => {
    const timer = setTimeout(
      () => resolve({ ok: false, reason: `It took longer than ${bounds.milliseconds} ms.` }),
      bounds.milliseconds,
    );
    worker.onmessage = ({ data }: MessageEvent<QueryResult>) => {
      clearTimeout(timer);
      resolve(data);
    };
    worker.onerror = ({ message }) =>
      reject(
        new ArcticError("device_no_threads", `The query's thread could not be run: ${message}.`),
      );
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    worker.postMessage({ path, sql, bounds } satisfies QueryJob);
  }).finally(() => worker.terminate());
}
