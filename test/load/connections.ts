/**
 * Many connections: some that ask, many that only hold on. Nobody meets an error that is not a 429
 * with Retry-After, and those that hold on cost little memory.
 *
 *     BUN_CONFIG_MAX_HTTP_REQUESTS=1000 bun test/load/connections.ts [--active 500] [--idle 2000]
 *       [--slow 500] [--seconds 60] [--program dist/arctic]
 *
 * Beside them, as many as --slow never end their headers, and as many never end their bodies: the
 * server closes those.
 */

import { connect, type Socket } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";
import { probeHealth, residentBytes } from "../clients/probe.ts";
import { startServer } from "../clients/server.ts";
import { complete } from "../fault/streams.ts";

/** What Bun's client has open at once unless the variable says otherwise. */
const OPEN_REQUESTS = 256;
const MiB = 1024 * 1024;
/** The server closes a silent connection after this and up to a tick of its timer more. */
const HOLD_MS = 5_000;

const { values } = parseArgs({
  options: {
    active: { type: "string", default: "500" },
    idle: { type: "string", default: "2000" },
    slow: { type: "string", default: "500" },
    seconds: { type: "string", default: "60" },
    program: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const atOnce = Number(process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"] ?? OPEN_REQUESTS);
if (Number(values.active) > atOnce) {
  console.error(`Bun asks ${atOnce} times at once: set BUN_CONFIG_MAX_HTTP_REQUESTS to more.`);
  process.exit(2);
}
const command = values.program === undefined ? {} : { command: [values.program] };
await using server = await startServer({ ...command, args: ["--log-level=warn"] });
await (await complete(server, { max_tokens: 4 })).text();
const before = residentBytes(server.pid);

/** A connection that asks for its state now and then, so that the server keeps it. */
function idle(): Promise<{ socket: Socket; answers: () => number; broken: () => boolean }> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof idle>>>();
  const socket = connect(server.port, "127.0.0.1");
  let answers = 0;
  let isBroken = false;
  const ask = () => socket.write("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  const timer = setInterval(ask, HOLD_MS);
  socket.on("data", () => answers++);
  socket.on("error", reject);
  socket.on("close", () => {
    isBroken = true;
    clearInterval(timer);
  });
  socket.on("connect", () => {
    ask();
    resolve({ socket, answers: () => answers, broken: () => isBroken });
  });
  return promise;
}

const HEAD = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n";

/** Sends `text` and then a byte a second; resolves with the seconds until the server closes. */
function slow(text: string, byte: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const start = performance.now();
  const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
  const timer = setInterval(() => socket.writable && socket.write(byte), 1_000);
  socket.on("data", () => {});
  socket.on("error", () => socket.destroy()); // a reset is an end like any other
  socket.on("close", () => {
    clearInterval(timer);
    resolve((performance.now() - start) / 1_000);
  });
  return promise;
}

const held = [];
for (let i = 0; i < Number(values.idle); i += 100) {
  held.push(...await Promise.all(Array.from({ length: 100 }, idle)));
}
const withIdle = residentBytes(server.pid);

const until = performance.now() + seconds * 1_000;
const counts = { answered: 0, refused: 0, refusedWithoutTime: 0, failed: 0 };
const first: number[] = [];

async function active(i: number): Promise<void> {
  while (performance.now() < until) {
    const start = performance.now();
    try {
      const prompt = Array.from({ length: 20 }, (_, j) => 10 + (i * 31 + j) % 500);
      const response = await complete(server, { prompt, max_tokens: 20, stream: true });
      const text = await response.text();
      if (response.status === 200 && text.endsWith("data: [DONE]\n\n")) {
        counts.answered++;
        first.push(performance.now() - start);
      } else if (response.status === 429) {
        counts.refused++;
        const wait = Number(response.headers.get("retry-after"));
        if (!(wait > 0)) counts.refusedWithoutTime++;
        await Bun.sleep(1_000 * (wait || 1));
      } else counts.failed++;
    } catch (error) {
      counts.failed++;
      console.error(String(error));
    }
  }
}

const probe = probeHealth(server);
const slowly = Promise.all([
  HEAD + "X-Never: ",
  HEAD + "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{",
].map((text) => Promise.all(Array.from({ length: Number(values.slow) }, () => slow(text, " ")))));
let mostWaiting = 0;
const watch = (async () => {
  while (performance.now() < until) {
    mostWaiting = Math.max(mostWaiting, await server.metric("arctic:num_requests_waiting"));
    await Bun.sleep(250);
  }
})();
await Promise.all(Array.from({ length: Number(values.active) }, (_, i) => active(i)));
await watch;
const [headers = [], bodies = []] = await slowly;
const health = await probe.stop();
const after = residentBytes(server.pid);
const broken = held.filter((each) => each.broken()).length;
const silent = held.filter((each) => each.answers() === 0).length;
for (const { socket } of held) socket.destroy();
await server.metricIs("arctic:num_requests_running", 0);
const pages = await server.metric("arctic:kv_cache_usage_perc");
server.kill("SIGTERM");
const code = await server.exited;

const sorted = first.toSorted((a, b) => a - b);
const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(0);
const ms = ({ p50, p99, worst }: typeof health.seen) =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, worst ${worst.toFixed(1)} ms`;
const size = (bytes: number) => `${(bytes / MiB).toFixed(0)} MiB`;
console.log(`connections      ${values.active} active, ${values.idle} idle, ${seconds} s`);
console.log(`requests         ${JSON.stringify(counts)}`);
console.log(`whole answer     p50 ${at(0.5)}, p99 ${at(0.99)} ms`);
console.log(`most that waited ${mostWaiting}`);
console.log(
  `memory           ${size(before)} before, ${size(withIdle)} with the idle, ${size(after)} after`,
);
console.log(
  `slow             headers closed after ${Math.max(0, ...headers).toFixed(1)} s at most, ` +
    `bodies after ${Math.max(0, ...bodies).toFixed(1)} s`,
);
console.log(`idle             ${broken} closed by the server, ${silent} never answered`);
console.log(`/health seen     ${ms(health.seen)} of ${health.count}`);
console.log(`/health own      ${ms(health.own)}`);
console.log(`pages at the end ${pages}, exit code ${code}`);

const isSound = counts.failed === 0 && counts.refusedWithoutTime === 0 && broken === 0 &&
  silent === 0 && pages === 0 && code === 0 && counts.answered > 0;
process.exitCode = isSound ? 0 : 1;
