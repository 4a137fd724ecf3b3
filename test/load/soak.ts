/**
 * Keeps a server's queue full for as long as asked, with clients that leave at random, and says what
 * became of it: memory over time, pages at the end, how fast /health was.
 *
 *     bun test/load/soak.ts [--minutes 60] [--clients 96] [--program dist/arctic] [--seed 1]
 *
 * Exits with 1 where memory grows, pages stay held, or something went wrong that nobody asked for.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { Random } from "../../src/engine/random.ts";
import { probeHealth, residentBytes } from "../clients/probe.ts";
import { type ServedProcess, startServer } from "../clients/server.ts";
import { complete } from "../fault/streams.ts";

const MiB = 1024 * 1024;
const SAMPLE_MS = 5_000;
/** Of the run, at whose beginning memory is still taken for the first time. */
const WARM_UP = 0.25;
const GROWTH_MIB_PER_HOUR = 64;
const HEALTH_P99_MS = 50;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    clients: { type: "string", default: "96" },
    seed: { type: "string", default: "1" },
    program: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const random = new Random(Number(values.seed));
const below = (n: number) => Math.floor(random.uniform() * n);

const counts = { answered: 0, left: 0, refused: 0, failed: 0 };

/** One request after the other, some of which are left before their end. */
async function client(server: ServedProcess, until: number): Promise<void> {
  while (performance.now() < until) {
    const leaves = below(3) === 0;
    const signal = leaves ? AbortSignal.timeout(1 + below(2_000)) : undefined;
    const length = 1 + below(400);
    const fields = {
      prompt: Array.from({ length }, (_, i) => 10 + (i * (1 + below(7))) % 500),
      max_tokens: 1 + below(120),
      stream: below(2) === 0,
      temperature: below(2),
      ...(below(8) === 0 && { n: 2 }),
      ...(below(8) === 0 && { logprobs: 3 }),
      ...(below(8) === 0 && { sinks: 4, window: 64 }),
    };
    try {
      const response = await complete(server, fields, signal ? { signal } : {});
      const text = await response.text();
      if (response.status === 429) {
        counts.refused++;
        await Bun.sleep(200);
      } else if (response.status === 200 && !text.includes('"error"')) counts.answered++;
      else {
        counts.failed++;
        console.error(`${response.status}: ${text.slice(-300)}`);
      }
    } catch (error) {
      if (signal?.aborted) counts.left++;
      else {
        counts.failed++;
        console.error(String(error));
      }
    }
  }
}

/** Least squares, in MiB an hour. */
function slope(samples: readonly { readonly ms: number; readonly bytes: number }[]): number {
  const hours = samples.map(({ ms }) => ms / 3_600_000);
  const sizes = samples.map(({ bytes }) => bytes / MiB);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [x, y] = [mean(hours), mean(sizes)];
  const over = hours.reduce((sum, hour, i) => sum + (hour - x) * ((sizes[i] ?? 0) - y), 0);
  return over / hours.reduce((sum, hour) => sum + (hour - x) ** 2, 0);
}

const command = values.program === undefined ? {} : { command: [values.program] };
await using server = await startServer({ ...command, args: ["--log-level=warn"] });
const start = performance.now();
const until = start + minutes * 60_000;
const probe = probeHealth(server);
const clients = Array.from({ length: Number(values.clients) }, () => client(server, until));

const samples: { ms: number; bytes: number }[] = [];
while (performance.now() < until) {
  await Bun.sleep(Math.min(SAMPLE_MS, until - performance.now()));
  samples.push({ ms: performance.now() - start, bytes: residentBytes(server.pid) });
}
await Promise.all(clients);
const health = await probe.stop();
await server.metricIs("arctic:num_requests_running", 0);
const pages = await server.metric("arctic:kv_cache_usage_perc");
const tokens = await server.metric("arctic:generation_tokens_total");
const warm = samples.filter(({ ms }) => ms > WARM_UP * minutes * 60_000);
const growth = slope(warm);
server.kill("SIGTERM");
const code = await server.exited;
const problems = server.stderr().split("\n").filter((line) => line.includes('"level":"error"'));

const size = (bytes: number | undefined) => `${((bytes ?? NaN) / MiB).toFixed(0)} MiB`;
const ms = ({ p50, p99, worst }: typeof health.seen) =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, worst ${worst.toFixed(1)} ms`;
console.log(`time             ${minutes} min, ${values.clients} clients, seed ${values.seed}`);
console.log(`requests         ${JSON.stringify(counts)}`);
console.log(`tokens           ${tokens}, ${(tokens / (minutes * 60)).toFixed(0)}/s`);
console.log(
  `memory           ${size(samples[0]?.bytes)} first, ${size(warm[0]?.bytes)} warm, ` +
    `${size(samples.at(-1)?.bytes)} last`,
);
console.log(`memory slope     ${growth.toFixed(1)} MiB/h after the first quarter`);
console.log(`pages at the end ${pages}`);
console.log(`/health seen     ${ms(health.seen)} of ${health.count}`);
console.log(`/health own      ${ms(health.own)}`);
console.log(`errors in log    ${problems.length}, exit code ${code}`);
for (const problem of problems.slice(0, 5)) console.log(problem);

const isSound = growth < GROWTH_MIB_PER_HOUR && pages === 0 && counts.failed === 0 &&
  problems.length === 0 && code === 0 && health.own.p99 < HEALTH_P99_MS;
process.exitCode = isSound ? 0 : 1;
