/**
 * Perplexity of a long conversation about one schema under attention sinks, against its value at the
 * window's length, and against other choices of sinks:
 *
 *     bun test/load/perplexity.ts [--tokens 50000] [--window 400] [--model DIR] [--backend cpu|gpu]
 *         [--starts 60] [--seed 1] [--schema demo|seen|unseen] [--out RESULT.json] [--svg PLOT.svg]
 *     bun test/load/perplexity.ts --from RESULT.json [--svg PLOT.svg]
 *
 * The text is what the model was trained on: questions of the generator with their SQL, as the chat
 * template writes them, about the demo shop or a schema of names that training knew or did not. Sinks: the whole schema; the first 4 tokens; none. The value
 * at the window's length is that of a text which just fills the window, where nothing has been evicted
 * yet: the mean over the beginnings of `--starts` other conversations about the schema. Besides, a twentieth of the
 * long text is scored with the schema and the window read again before each block of 50 tokens.
 */

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { tokenizerFiles } from "../../src/cli/open-engine.ts";
import { embeddedModelFolder } from "../../src/embedded-model.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { AttentionWindow } from "../../src/engine/request.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { figure } from "./endless-plot.ts";
import { conversation, type Text, topic } from "./perplexity-text.ts";

const { values } = parseArgs({
  options: {
    tokens: { type: "string", default: "50000" },
    window: { type: "string", default: "400" },
    starts: { type: "string", default: "60" },
    model: { type: "string" },
    backend: { type: "string", default: "cpu" },
    schema: { type: "string", default: "demo" },
    seed: { type: "string", default: "1" },
    out: { type: "string" },
    svg: { type: "string" },
    from: { type: "string" },
  },
});
const window = Number(values.window);

/** Tokens of a bucket, of a block that is scored afresh, and blocks of which one is. */
const BUCKET = 1_000, BLOCK = 50, ONE_IN = 20;
const SCHEMAS: Readonly<Record<string, string>> = {
  demo: "of the demo shop",
  seen: "of names seen in training",
  unseen: "of names unknown to training",
};
/** What the perplexity may grow by. */
const MORE = 1.03;

/** Natural log-probabilities, summed. */
interface Sum {
  readonly nats: number;
  readonly count: number;
}

interface Both {
  readonly all: Sum;
  readonly answers: Sum;
}

interface Result {
  readonly device: string;
  readonly tokens: number;
  readonly window: number;
  readonly schema: string;
  readonly start: Both;
  readonly afresh: Both;
  readonly curves: readonly Curve[];
}

interface Curve {
  readonly sinks: number;
  readonly name: string;
  readonly buckets: readonly Both[];
  readonly total: Both;
  /** Of the tokens that were also scored afresh. */
  readonly sample: Both;
}

/** Log-probability of each token after those before it; undefined for the first. */
async function logprobs(engine: Engine, tokens: readonly number[], attention?: AttentionWindow) {
  const found: (number | undefined)[] = [undefined];
  const request = { kind: "score", tokens, top: 0, ...(attention && { attention }) } as const;
  for await (const event of engine.submit(request)) {
    if (event.type === "scored-top") found[event.position + 1] = event.next?.logprob;
  }
  return found;
}

/** Sums the log-probabilities of the tokens of `text` that `wanted` names by place. */
function sum(text: Text, found: readonly (number | undefined)[], wanted: Iterable<number>): Both {
  const all = { nats: 0, count: 0 }, answers = { nats: 0, count: 0 };
  for (const place of wanted) {
    const logprob = found[place];
    if (place < text.schema || logprob === undefined) continue;
    for (const each of text.inAnswer[place] ? [all, answers] : [all]) {
      each.nats -= logprob;
      each.count += 1;
    }
  }
  return { all, answers };
}

function* range(from: number, to: number): Generator<number> {
  for (let i = from; i < to; i++) yield i;
}

function added(parts: readonly Both[]): Both {
  const add = (of: (both: Both) => Sum): Sum => ({
    nats: parts.reduce((total, part) => total + of(part).nats, 0),
    count: parts.reduce((total, part) => total + of(part).count, 0),
  });
  return { all: add((both) => both.all), answers: add((both) => both.answers) };
}

function perplexity({ nats, count }: Sum): number {
  return Math.exp(nats / count);
}

/** First tokens of the blocks that are scored afresh too: those past the window, one in ONE_IN. */
function* sampled(text: Text): Generator<number> {
  const first = text.schema + window;
  for (let at = first; at + BLOCK <= text.tokens.length; at += BLOCK * ONE_IN) yield at;
}

async function scoredAfresh(engine: Engine, text: Text): Promise<Both> {
  const parts: Both[] = [];
  for (const at of sampled(text)) {
    const from = at + BLOCK - window;
    const tokens = [
      ...text.tokens.slice(0, text.schema),
      ...text.tokens.slice(from, at + BLOCK),
    ];
    const found = await logprobs(engine, tokens);
    // As the long text counts its places.
    const there: (number | undefined)[] = [];
    for (const place of range(at, at + BLOCK)) there[place] = found[place - from + text.schema];
    parts.push(sum(text, there, range(at, at + BLOCK)));
  }
  return added(parts);
}

async function measured(): Promise<Result> {
  const source = openModel(values.model ?? embeddedModelFolder() ?? "");
  const tokenizer = Tokenizer.load(tokenizerFiles(source) ?? {});
  const open = values.backend === "gpu" ? openGpuBackend : openCpuBackend;
  const engine = await Engine.open(source, await open(source, backendOptions(source)));
  const length = Number(values.tokens) + Number(values.starts) * (window + 500);
  const about = topic(values.schema, `perplexity:${values.seed}`, length);
  const text = conversation(tokenizer, about, Number(values.tokens));
  const starts: Both[] = [];
  for (let i = 0; i < Number(values.starts); i++) {
    const short = conversation(tokenizer, about, text.schema + window + 1);
    starts.push(sum(short, await logprobs(engine, short.tokens), range(0, short.tokens.length)));
  }
  const afresh = await scoredAfresh(engine, text);
  const curves: Curve[] = [];
  for (
    const [sinks, name] of [
      [text.schema, `the schema as sinks (S = ${text.schema})`],
      [4, "S = 4"],
      [0, "S = 0"],
    ] as const
  ) {
    const found = await logprobs(engine, text.tokens, { sinks, window });
    const buckets = [...range(0, Math.ceil(text.tokens.length / BUCKET))].map((b) =>
      sum(text, found, range(b * BUCKET, Math.min((b + 1) * BUCKET, text.tokens.length)))
    );
    const blocks = [...sampled(text)].map((at) => sum(text, found, range(at, at + BLOCK)));
    curves.push({ sinks, name, buckets, total: added(buckets), sample: added(blocks) });
    console.error(name);
  }
  const device = engine.device;
  engine.close();
  source.close();
  return {
    device,
    tokens: text.tokens.length,
    window,
    schema: values.schema,
    start: added(starts),
    afresh,
    curves,
  };
}

function report({ device, tokens, window, schema, start, afresh, curves }: Result): boolean {
  const both = ({ all, answers }: Both) =>
    `${perplexity(all).toFixed(4)} (${all.count} tokens), answers ` +
    `${perplexity(answers).toFixed(4)} (${answers.count})`;
  console.log(
    `${device}, ${tokens} tokens of one conversation, schema ${schema}, window ${window}`,
  );
  console.log(`at the window's length: ${both(start)}`);
  for (const { name, total } of curves) {
    const [a, b] = [(b: Both) => b.all, (b: Both) => b.answers].map((of) =>
      (perplexity(of(total)) / perplexity(of(start))).toFixed(3)
    );
    console.log(`${name}: ${both(total)}; ratio ${a}, answers ${b}`);
  }
  console.log(`window read again, every ${ONE_IN}th block of ${BLOCK}: ${both(afresh)}`);
  for (const { name, sample } of curves) console.log(`  the same tokens, ${name}: ${both(sample)}`);
  const kept = curves[0]?.total;
  return kept !== undefined && perplexity(kept.all) <= MORE * perplexity(start.all);
}

function drawing({ tokens, window, schema, start, curves }: Result): string {
  const panel = (title: string, of: (both: Both) => number) => {
    const series = curves.map(({ name, sinks, buckets }) => ({
      name,
      dashed: sinks === 0,
      points: buckets.map((bucket, b) => [(b + 0.5) * BUCKET, of(bucket)] as const),
    }));
    const level = of(start);
    const name = "at the window's length";
    series.push({ name, dashed: false, points: [[0, level], [tokens, level]] });
    const ys = series.flatMap(({ points }) => points.map(([, y]) => y));
    const range = [Math.min(...ys) / 1.04, Math.max(...ys) * 1.04] as const;
    return { title, series, range, logarithmic: true };
  };
  return figure({
    title: `Perplexity of a conversation ${
      Math.round(tokens / window)
    } times as long as the window`,
    subtitle:
      `arctic-tiny-sql, ${tokens.toLocaleString("en-US")} tokens, window ${window}, schema ` +
      `${SCHEMAS[schema]}; each point is ${BUCKET.toLocaleString("en-US")} tokens`,
    xTitle: "tokens of the text",
    panels: [
      panel("All tokens: perplexity", (both) => perplexity(both.all)),
      panel("Answers: perplexity - 1", (both) => perplexity(both.answers) - 1),
    ],
  });
}

const result = values.from === undefined
  ? await measured()
  : JSON.parse(readFileSync(values.from, "utf8")) as Result;
if (values.out !== undefined) writeFileSync(values.out, JSON.stringify(result, null, 1));
if (values.svg !== undefined) writeFileSync(values.svg, drawing(result));
process.exitCode = report(result) ? 0 : 1;
