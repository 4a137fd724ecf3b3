/**
 * RELIABILITY row 61: one different schema after the other, and what becomes of memory, of the cache
 * and of the time that each takes.
 *
 *     bun test/load/schemas.ts [--schemas 10000] [--clients 4] [--slow-every 200] [--tokens 16]
 *                              [--served [--program dist/arctic]] [--tokenizer tokenizer.model]
 *
 * Without `--served`, the grammars and their threads run here, as `arctic serve` has them, and each
 * schema is followed for some tokens; with it, each is the format of a request to a server. Of every
 * `--slow-every` schemas one takes too long to compile, which costs its thread.
 *
 * Exits with 1 where memory grows, the cache is larger than its limit, or an answer was not as expected.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { residentBytes } from "../clients/probe.ts";
import { MODEL, question, startServer } from "../clients/server.ts";
import { Bench, embedded, vocabularyOf } from "../grammar/support.ts";

const MiB = 1024 * 1024;
const SAMPLES = 20;
/** From when on memory has to stay as it is, as a part of the run. */
const WARM = 0.25;
const GROWTH_MIB = 32;

const { values } = parseArgs({
  options: {
    schemas: { type: "string", default: "10000" },
    clients: { type: "string", default: "4" },
    "slow-every": { type: "string", default: "200" },
    tokens: { type: "string", default: "16" },
    served: { type: "boolean", default: false },
    program: { type: "string" },
    tokenizer: { type: "string" },
  },
});
const count = Number(values.schemas);
const slowEvery = Number(values["slow-every"]);
const maxTokens = Number(values.tokens);

type Outcome = "followed" | "refused";

interface Target extends AsyncDisposable {
  readonly pid: number;
  send(schema: object, seed: number): Promise<Outcome>;
  /** Grammars that are kept; undefined where it cannot be told. */
  cached(): Promise<number | undefined>;
}

/** No two are the same; what they hold goes round. */
function schemaOf(i: number): object {
  if (i % slowEvery === slowEvery - 1) {
    const names = Array.from({ length: 400 }, (_, n) => [`${n} of ${i}`, { type: "string" }]);
    const properties = Object.fromEntries(names);
    return { type: "object", properties, minProperties: 200, maxProperties: 300 };
  }
  const kinds: readonly object[] = [
    { type: "string" },
    { type: "integer", minimum: -i, maximum: i },
    { enum: ["red", "green", `blue ${i}`] },
    { type: "array", items: { type: "boolean" }, maxItems: 1 + i % 8 },
    { type: "string", maxLength: 20 + i },
    { type: "number", minimum: 0, exclusiveMaximum: i + 0.5 },
    { anyOf: [{ type: "null" }, { type: "string", pattern: `^[a-f]{2}-${i}$` }] },
  ];
  const names = [`key ${i}`, "a"];
  const properties = names.map((name, n) => [name, kinds[(i + n * 3) % kinds.length]]);
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    required: names.slice(0, 1 + i % 2),
  };
}

/** The grammars themselves, in threads of this process. */
function threads(): Target {
  const { tokenizer } = values;
  const bench = new Bench(tokenizer === undefined ? embedded() : vocabularyOf(tokenizer));
  const format = (schema: object) => ({ kind: "json-schema", schema }) as const;
  return {
    pid: process.pid,
    async send(schema, seed) {
      try {
        await bench.draw(format(schema), seed, maxTokens);
        return "followed";
      } catch (error) {
        if (errorCode(error) === "request_bad_grammar") return "refused";
        throw error;
      }
    },
    async cached() {
      // A grammar that is made has a number above all others.
      const last = await bench.grammars.compile(format({ const: "the last" }));
      last.release();
      for (let i = count - 1, kept = 1; i >= 0; i--) {
        if (i % slowEvery === slowEvery - 1) continue;
        const lease = await bench.grammars.compile(format(schemaOf(i)));
        lease.release();
        if (lease.id > last.id) return kept;
        kept++;
      }
      return count;
    },
    [Symbol.asyncDispose]() {
      bench.close();
      return Promise.resolve();
    },
  };
}

/** A server, whose clients ask for a few tokens of each. */
async function served(): Promise<Target> {
  const command = values.program ? [values.program] : [process.execPath, "src/main.ts"];
  const server = await startServer({ command, args: ["--log-level=warn"] });
  return {
    pid: server.pid,
    async send(schema, seed) {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model: MODEL,
          messages: question(),
          seed,
          max_tokens: maxTokens,
          response_format: { type: "json_schema", json_schema: { name: "a", schema } },
        }),
      });
      const text = await response.text();
      if (response.status === 200) return "followed";
      if (response.status === 400) return "refused";
      throw new Error(`${response.status}: ${text.slice(0, 300)}`);
    },
    cached: () => Promise.resolve(undefined),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

await using target = values.served ? await served() : threads();
const times: number[] = [];
const samples: number[] = [];
const counts = { followed: 0, refused: 0, unexpected: 0 };
const every = Math.ceil(count / SAMPLES);
let next = 0;
async function client(): Promise<void> {
  for (let i = next++; i < count; i = next++) {
    const start = performance.now();
    const outcome = await target.send(schemaOf(i), i);
    counts[outcome]++;
    if (outcome === "followed") times.push(performance.now() - start);
    if ((outcome === "refused") !== (i % slowEvery === slowEvery - 1)) counts.unexpected++;
    // Not beside a slow one, whose thread is large for a moment.
    if (i % every === Math.floor(every / 2)) {
      samples.push(residentBytes(target.pid) / MiB);
      console.error(`${i + 1} schemas, ${samples.at(-1)?.toFixed(0)} MiB`);
    }
  }
}
const start = performance.now();
await Promise.all(Array.from({ length: Number(values.clients) }, client));
const seconds = (performance.now() - start) / 1_000;
const cached = await target.cached();

/** By how much the later half of the warm samples is above the earlier: single ones come and go. */
const median = (sizes: readonly number[]) =>
  sizes.toSorted((a, b) => a - b)[Math.floor(sizes.length / 2)] ?? NaN;
const warm = samples.slice(Math.floor(samples.length * WARM));
const half = Math.floor(warm.length / 2);
const growth = median(warm.slice(half)) - median(warm.slice(0, half));
const sorted = times.toSorted((a, b) => a - b);
const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(1);
const [least, most] = [Math.min(...samples), Math.max(...samples)];
console.log(`schemas          ${count} in ${seconds.toFixed(0)} s, ${JSON.stringify(counts)}`);
console.log(`time of each     p50 ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} ms`);
console.log(`memory           ${samples.map((size) => size.toFixed(0)).join(" ")} MiB`);
console.log(
  `memory           ${least.toFixed(0)} to ${most.toFixed(0)} MiB, growth ${growth.toFixed(1)}`,
);
console.log(`cached at end    ${cached ?? "not told"} of ${limits.grammarsCached}`);

const isSound = growth < GROWTH_MIB && counts.unexpected === 0 &&
  (cached === undefined || cached === limits.grammarsCached);
process.exitCode = isSound ? 0 : 1;
