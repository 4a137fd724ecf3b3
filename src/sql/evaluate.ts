/**
 * Execution accuracy: the share of questions whose generated SQL returns what the reference SQL
 * returns, on a database of random rows.
 */

import {
  compileQuery,
  queryLimits,
  type QueryResult,
  randomDatabase,
  runQuery,
} from "./database.ts";
import { evaluationOptions, makeCase } from "./generator.ts";
import type { Split } from "./names.ts";
import { type Message, sqlMessages } from "./prompt.ts";
import { type Random, seededRandom } from "./random.ts";
import type { Schema } from "./schema.ts";

/** Rows in each table. Enough for groups to differ, few enough for joins to be quick. */
const ROWS = 40;

export interface EvaluationOptions {
  readonly n: number;
  readonly seed: number;
  readonly split: Split;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Called after every question. */
  readonly progress?: (outcome: Outcome, done: number) => void;
}

/**
 * Answers a conversation with SQL. It may ask whether SQLite can compile an answer against the schema,
 * as any user of the schema could; it learns nothing of rows or of the reference.
 */
export type Complete = (
  messages: readonly Message[],
  schema: Schema,
  compiles: (sql: string) => boolean,
) => string | Promise<string>;

/** What became of one question. */
export interface Outcome {
  readonly kind: string;
  readonly messages: readonly Message[];
  readonly reference: string;
  readonly generated: string;
  /** The generated SQL ran. */
  readonly valid: boolean;
  /** It returned what the reference returned. */
  readonly correct: boolean;
  /** Why it is not valid or not correct. */
  readonly reason: string | null;
}

export interface KindScore {
  readonly n: number;
  readonly correct: number;
  readonly valid: number;
}

export interface Evaluation {
  readonly n: number;
  readonly seed: number;
  readonly split: Split;
  /** Fraction of n. */
  readonly execution_accuracy: number;
  /** Fraction of n. */
  readonly valid_sql: number;
  /** Fraction of n whose SQL is the reference, letter for letter. */
  readonly exact_match: number;
  readonly by_kind: Readonly<Record<string, KindScore>>;
  readonly failures: readonly Outcome[];
}

/**
 * Asks `n` fresh questions and runs the answers.
 * @param complete the SQL for a conversation; asked once for every question, one after the other
 */
export async function evaluateSql(
  complete: Complete,
  options: EvaluationOptions,
): Promise<Evaluation> {
  const random = seededRandom(`evaluation:${options.seed}:${options.split}`);
  const byKind = new Map<string, KindScore>();
  const failures: Outcome[] = [];
  let exact = 0;
  for (let i = 0; i < options.n; i++) {
    // Rows of their own seed: what is asked does not depend on how the database is filled.
    const rows = seededRandom(`rows:${options.seed}:${i}`);
    const outcome = await askOne(random, rows, complete, options);
    const score = byKind.get(outcome.kind) ?? { n: 0, correct: 0, valid: 0 };
    byKind.set(outcome.kind, {
      n: score.n + 1,
      correct: score.correct + Number(outcome.correct),
      valid: score.valid + Number(outcome.valid),
    });
    exact += Number(outcome.generated.trim() === outcome.reference);
    if (!outcome.correct) failures.push(outcome);
    options.progress?.(outcome, i + 1);
  }
  const scores = [...byKind.values()];
  const fraction = (count: (score: KindScore) => number): number =>
    options.n === 0 ? 0 : scores.reduce((sum, score) => sum + count(score), 0) / options.n;
  return {
    n: options.n,
    seed: options.seed,
    split: options.split,
    execution_accuracy: fraction((score) => score.correct),
    valid_sql: fraction((score) => score.valid),
    exact_match: options.n === 0 ? 0 : exact / options.n,
    by_kind: Object.fromEntries([...byKind].sort(([a], [b]) => a < b ? -1 : 1)),
    failures,
  };
}

async function askOne(
  random: Random,
  rows: Random,
  complete: Complete,
  options: EvaluationOptions,
): Promise<Outcome> {
  const { schema, questions } = makeCase(random, evaluationOptions(options.split));
  const asked = questions[0];
  if (asked === undefined) throw new RangeError("the generator made no question");
  const database = randomDatabase(rows, schema, ROWS);
  try {
    const messages = sqlMessages(asked.question, schema);
    const compiles = (sql: string) => compileQuery(database, sql).ok;
    const generated = (await complete(messages, schema, compiles)).trim();
    const expected = runQuery(database, asked.sql, queryLimits, options.now);
    const returned = runQuery(database, generated, queryLimits, options.now);
    const reason = difference(expected, returned, asked.ordered);
    return {
      kind: asked.kind,
      messages,
      reference: asked.sql,
      generated,
      valid: returned.ok,
      correct: reason === null,
      reason,
    };
  } finally {
    database.close();
  }
}

/** Why two results differ, or null. The order of rows counts only where the question asks for one. */
export function difference(
  expected: QueryResult,
  returned: QueryResult,
  ordered: boolean,
): string | null {
  if (!expected.ok) return `The reference does not run: ${expected.reason}`;
  if (!returned.ok) return returned.reason;
  if (expected.truncated || returned.truncated) return "A result has too many rows to compare.";
  if (expected.columns.length !== returned.columns.length) {
    return `It returns ${returned.columns.length} columns instead of ${expected.columns.length}.`;
  }
  if (expected.rows.length !== returned.rows.length) {
    return `It returns ${returned.rows.length} rows instead of ${expected.rows.length}.`;
  }
  const lines = (result: QueryResult & { ok: true }): string[] => {
    const keys = result.rows.map((row) => JSON.stringify(row.map(comparable)));
    return ordered ? keys : keys.sort();
  };
  const [want, got] = [lines(expected), lines(returned)];
  return want.every((line, i) => line === got[i]) ? null : "It returns other rows.";
}

/** A cell as it is compared: sums may differ in the last bits, since rows may be added in any order. */
function comparable(cell: unknown): unknown {
  if (typeof cell === "bigint") return Number(cell);
  if (typeof cell === "number" && !Number.isInteger(cell)) return Number(cell.toPrecision(9));
  return cell;
}
