/**
 * Writes training data as JSON lines: {"system": DDL, "turns": [[question, answer], …]}.
 *
 *     bun make-data.ts --seed S --cases N --level 0|1|2 [--split seen|unseen] [--evaluation] > data.jsonl
 *
 * The questions of one line share its schema; the trainer attends to the schema from each of them
 * alone. `--evaluation` writes what `eval sql` would ask: one question a schema, full size.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { evaluationOptions, makeCase } from "../../src/sql/generator.ts";
import type { CaseOptions } from "../../src/sql/generator.ts";
import type { Split } from "../../src/sql/names.ts";
import { seededRandom } from "../../src/sql/random.ts";
import { createStatements } from "../../src/sql/schema.ts";
import { smallTalk } from "../../src/sql/small-talk.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    cases: { type: "string", default: "1000" },
    level: { type: "string", default: "2" },
    split: { type: "string", default: "seen" },
    evaluation: { type: "boolean", default: false },
  },
});

/** From one small table to four full ones: copying is learnt on the short prompts first. */
const levels: Readonly<Record<string, Omit<CaseOptions, "split">>> = {
  "0": { demo: 0, maxTables: 1, columns: [2, 3], namedKeys: 0, questions: 6 },
  "1": { demo: 0.1, maxTables: 2, columns: [2, 4], namedKeys: 0, questions: 7 },
  "2": { demo: 0.14, maxTables: 4, columns: [2, 5], namedKeys: 0.15, questions: 8 },
};
/** Share of turns that ask for no data. */
const SMALL_TALK = 0.025;

const split: Split = values.split === "unseen" ? "unseen" : "seen";
const level = levels[values.level];
if (level === undefined) throw new RangeError(`no level ${values.level}`);
const options: CaseOptions = values.evaluation ? evaluationOptions(split) : { split, ...level };
const random = seededRandom(
  `data:${values.seed}:${values.evaluation ? "evaluation" : values.level}:${split}`,
);

const lines: string[] = [];
for (let i = 0; i < Number(values.cases); i++) {
  const made = makeCase(random, options);
  const turns = made.questions.map(({ question, sql, kind }) => {
    if (values.evaluation) return [question, sql, kind];
    if (!random.chance(SMALL_TALK)) return [question, sql];
    const talk = smallTalk(random, split);
    return [talk.prompt, talk.answer];
  });
  lines.push(JSON.stringify({ system: createStatements(made.schema), turns }));
}
process.stdout.write(lines.join("\n") + "\n");
