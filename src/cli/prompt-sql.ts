/** `arctic prompt --sql`: a question, its SQL, and what the SQL finds in the user's database. */

import type { EndEvent } from "../engine/events.ts";
import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import {
  compileQuery,
  queryLimits,
  type QueryResult,
  randomDatabase,
  runQuery,
} from "../sql/database.ts";
import { demoSchema } from "../sql/demo-schema.ts";
import { sqlMessages } from "../sql/prompt.ts";
import { seededRandom } from "../sql/random.ts";
import type { Context } from "./context.ts";
import { escapeControls } from "./escape.ts";
import type { Invocation, Options } from "./flags.ts";
import { type OpenModel, openModelForRun } from "./open-engine.ts";
import { promptText } from "./prompt-text.ts";
import { summary, usageAndTimings } from "./prompt-usage.ts";
import { completeGuided, needTokenizer } from "./sql-complete.ts";
import { SqlConstraint } from "./sql-constraint.ts";
import { queryFile } from "./sql-query.ts";
import { type DatabaseSchema, readDatabaseSchema } from "./sql-schema.ts";
import { jsonCell, tableLines } from "./sql-table.ts";

interface Answer {
  readonly sql: string;
  readonly result: QueryResult;
  readonly end: EndEvent;
}

/**
 * @throws ArcticError where the question, the database, the model or the device is at fault, and
 *   `request_sql_failed` when the generated SQL does not run
 */
export async function promptSql(
  { options, arguments: [argument] }: Invocation<"prompt">,
  context: Context,
): Promise<ExitCode> {
  const question = (await promptText(argument, context.signal)).trim();
  if (question === "") {
    throw new ArcticError("usage_no_prompt", "The question is empty. Ask something.");
  }
  const { db } = options;
  const database = db === undefined ? undefined : readDatabaseSchema(db);
  const opened = await openModelForRun(options, context);
  try {
    const { text, end } = await ask(question, database, options, opened, context);
    const sql = database === undefined ? text : database.names.forDatabase(text);
    const result = db === undefined ? tryOnDemo(sql) : await queryFile(db, sql, context.signal);
    await show({ sql, result, end }, db, options.json, context);
  } finally {
    opened.close();
  }
  return Exit.done;
}

async function ask(
  question: string,
  database: DatabaseSchema | undefined,
  options: Options<"prompt">,
  opened: OpenModel,
  { signal }: Context,
): Promise<{ readonly text: string; readonly end: EndEvent }> {
  const tokenizer = needTokenizer(opened);
  const tokens = tokenizer.encodeChat(sqlMessages(question, database?.schema));
  checkRoom(tokens.length, opened.engine.contextTokens, database);
  const { temperature = 0, topK, topP, minP, seed = 0, maxTokens, stop, unguided } = options;
  const schema = database?.schema ?? demoSchema;
  const empty = randomDatabase(seededRandom(0), schema, 0);
  const compiles = (sql: string) => compileQuery(empty, sql).ok;
  const constrain = unguided ? null : () => new SqlConstraint(schema, tokenizer, compiles);
  const answer = await completeGuided(opened, tokens, signal, {
    sampling: { temperature, topK, topP, minP, seed },
    stop,
    ...(maxTokens !== undefined && maxTokens !== Infinity && { maxTokens }),
  }, constrain).finally(() => empty.close());
  if (answer.end.finishReason === "stop") return answer;
  throw new ArcticError(
    "request_sql_unfinished",
    `The model's SQL had no end after ${answer.end.usage.completionTokens} tokens. ` +
      "Ask more simply, or give more --max-tokens.",
  );
}

/** A schema that the model cannot read whole is refused before anything is run. */
function checkRoom(
  tokens: number,
  contextTokens: number,
  database: DatabaseSchema | undefined,
): void {
  if (tokens < contextTokens) return;
  const tables = database?.schema.tables.length;
  throw new ArcticError(
    "request_context_length",
    (tables === undefined
      ? "The question takes "
      : `The schema's ${tables} tables and the question take `) +
      `${tokens} tokens, and the model's context has room for ${contextTokens - 1}. ` +
      (tables === undefined ? "Ask more briefly." : "Ask a database with fewer tables or columns."),
  );
}

/** Without a database it is still seen whether the SQL is a query of the demo schema. */
function tryOnDemo(sql: string): QueryResult {
  const database = randomDatabase(seededRandom(0), demoSchema, 0);
  try {
    return runQuery(database, sql, queryLimits, () => performance.now());
  } finally {
    database.close();
  }
}

async function show(
  { sql, result, end }: Answer,
  db: string | undefined,
  json: boolean,
  { output, messages }: Context,
): Promise<void> {
  const rows = result.ok && db !== undefined ? result : null;
  if (json) {
    await output.json({
      sql,
      columns: rows?.columns ?? null,
      rows: rows?.rows.map((row) => row.map(jsonCell)) ?? null,
      row_count: rows?.rows.length ?? null,
      truncated: rows?.truncated ?? null,
      error: result.ok ? null : result.reason,
      ...usageAndTimings(end),
    });
  } else {
    await output.write(`${escapeControls(sql, "\n\t")}\n`);
    if (rows !== null) await output.write(`\n${tableText(rows)}`);
  }
  if (!result.ok) {
    throw new ArcticError(
      "request_sql_failed",
      `The model's SQL gave no result: ${clause(result.reason)} ` +
        "Ask in other words, nearer to the names in the schema.",
    );
  }
  if (db === undefined) {
    messages.line(
      "This is about the demo schema: customers, products, orders, order_items. --db FILE asks your own.",
    );
  }
  messages.line(summary(end, undefined));
}

function tableText({ columns, rows, truncated }: QueryResult & { ok: true }): string {
  const count = `(${rows.length} ${rows.length === 1 ? "row" : "rows"}${
    truncated ? ", and more that are not shown" : ""
  })`;
  return [...tableLines(columns, rows), count, ""].join("\n");
}

/** SQLite's words or a sentence of ours, after a colon. */
function clause(reason: string): string {
  const text = reason.replace(/^It /, "it ");
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
