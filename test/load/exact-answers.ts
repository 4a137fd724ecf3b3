/**
 * Share of exact answers of a converted model, for comparison with the checkpoint that PyTorch runs:
 *
 *     evaluate.py WORK --weights bf16 --dump QUESTIONS.jsonl     (weights-manifest/arctic-tiny-sql)
 *     bun test/load/exact-answers.ts MODEL QUESTIONS.jsonl [gpu|cpu]
 *
 * A line of QUESTIONS holds the tokens of prompt and answer and, for each, the one that must be the
 * likeliest after it, or -1. An answer is exact when all of them are: when greedy decoding gives it.
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import { openModel } from "../../weights-manifest/reader.ts";

interface Question {
  readonly split: string;
  readonly tokens: readonly number[];
  readonly targets: readonly number[];
  readonly exact: boolean;
}

async function isExact(engine: Engine, { tokens, targets }: Question): Promise<boolean> {
  let exact = true;
  for await (const event of engine.submit({ kind: "score", tokens, top: 1 })) {
    if (event.type !== "scored-top") continue;
    const target = targets[event.position] ?? -1;
    exact &&= target < 0 || event.top[0]?.token === target;
  }
  return exact;
}

const [folder, file, backend = "cpu"] = process.argv.slice(2);
if (folder === undefined || file === undefined) throw new Error("Give MODEL and QUESTIONS.jsonl.");
const source = openModel(folder);
const open = backend === "gpu" ? openGpuBackend : openCpuBackend;
const engine = await Engine.open(source, await open(source, backendOptions(source)));
const questions = readFileSync(file, "utf8").trim().split("\n")
  .map((line) => JSON.parse(line) as Question);
for (const split of new Set(questions.map((question) => question.split))) {
  const own = questions.filter((question) => question.split === split);
  let here = 0;
  let there = 0;
  let same = 0;
  for (const question of own) {
    const exact = await isExact(engine, question);
    here += Number(exact);
    there += Number(question.exact);
    same += Number(exact === question.exact);
  }
  const share = (n: number) => `${(100 * n / own.length).toFixed(2)} %`;
  console.log(
    `${split}, ${own.length} questions: exact ${share(here)} on ${backend}, ` +
      `${share(there)} by the file, the same verdict on ${share(same)}`,
  );
}
engine.close();
source.close();
