/** RELIABILITY rows 43, 44, 46 and 47 on the compiled program: clients that leave, stall or hurry. */

import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { limits } from "../../src/limits.ts";
import { probeHealth } from "../clients/probe.ts";
import { type ServedProcess, startServer } from "../clients/server.ts";
import { complete, endlessStream, PROMPT } from "../fault/streams.ts";

// Of a busy machine, on which the engine takes many times longer.
setDefaultTimeout(180_000);

const RUNNING = "arctic:num_requests_running";
const WAITING = "arctic:num_requests_waiting";
const ADMITTED = "arctic:num_choices_admitted";
const PAGES = "arctic:kv_cache_usage_perc";
const TOKENS = "arctic:generation_tokens_total";
const STEPS = "arctic:engine_steps_total";

let server: ServedProcess;
beforeAll(async () => {
  server = await startServer({ args: ["--log-level=warn"] });
});
afterAll(() => server[Symbol.asyncDispose]());

/** Nothing of any request is left, and nothing went wrong. */
afterEach(async () => {
  for (const name of [RUNNING, WAITING, ADMITTED, PAGES]) {
    await server.metricIs(name, 0);
  }
  expect(server.stderr()).not.toContain('"level":"error"');
});

/** A request that its client gives up after so many milliseconds. */
async function leaving(ms: number, fields: object): Promise<void> {
  const signal = AbortSignal.timeout(ms);
  try {
    const response = await complete(server, { max_tokens: 4_000, ...fields }, { signal });
    await response.text();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

test("100 clients that leave in the midst of their streams", async () => {
  const probe = probeHealth(server);
  for (let round = 0; round < 5; round++) {
    const streams = await Promise.all(Array.from({ length: 20 }, () => endlessStream(server)));
    for (const stream of streams) stream.leave();
    await Promise.all(streams.map(({ ended }) => ended));
    await server.metricIs(RUNNING, 0);
    await server.metricIs(PAGES, 0);
  }
  expect((await probe.stop()).own.p99).toBeLessThan(50);
});

test("100 clients that leave while their prompts are read", async () => {
  const prompt = (i: number) => Array.from({ length: 3_000 }, (_, j) => 10 + (i * 7 + j) % 500);
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 20 }, (_, i) => {
      const stream = i % 2 === 0;
      return leaving(10 + i * 4, { prompt: prompt(20 * round + i), stream });
    }));
  }
});

test("100 clients that leave while they wait in the queue", async () => {
  // More than may run without end at once; they are read, or they would hold no places.
  const held = Array.from({ length: 8 }, () => heldStream({ n: 8, logprobs: undefined }));
  for (const socket of held) socket.resume();
  const waiting = 64 - limits.longRequests;
  try {
    await server.metricIs(WAITING, waiting, 30_000);
    const endless = { max_tokens: -1, sinks: 4, window: 32, ignore_eos: true, stream: true };
    await Promise.all(Array.from({ length: 100 }, (_, i) => leaving(20 + i, endless)));
    await server.metricIs(WAITING, waiting);
    expect(await server.metric(RUNNING)).toBe(limits.longRequests);
    expect(await server.metric(ADMITTED)).toBe(64);
  } finally {
    for (const socket of held) socket.destroy();
  }
});

/** A stream whose client reads nothing of it. */
function heldStream(fields: object = {}) {
  const body = JSON.stringify({
    ...{ prompt: PROMPT, stream: true, max_tokens: -1, ignore_eos: true, sinks: 4, window: 32 },
    ...{ logprobs: 20, ...fields },
  });
  const socket = connect(server.port, "127.0.0.1");
  socket.pause();
  socket.on("error", () => socket.destroy());
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

test("a client that reads nothing stops its own generation, and slows nobody down", async () => {
  // Echoes of megabytes: what lies between the two processes is full after a few tokens.
  const prompt = Array.from({ length: 1_000 }, (_, i) => 10 + i % 500);
  const held = heldStream({ n: 8, prompt, echo: true });
  using _ = { [Symbol.dispose]: () => void held.destroy() };
  await server.metricIs(RUNNING, 8, 60_000);
  let before = -1;
  for (let quiet = 0; quiet < 4;) {
    const now = await server.metric(TOKENS);
    quiet = now === before ? quiet + 1 : 0;
    before = now;
    await Bun.sleep(200);
  }
  const stream = await endlessStream(server);
  await stream.more(200);
  const [tokens = NaN, steps = NaN] = await server.metrics(TOKENS, STEPS);
  await stream.more(200);
  const [moreTokens = NaN, moreSteps = NaN] = await server.metrics(TOKENS, STEPS);
  // Each step was one for the client that reads: the others had no part in any.
  const share = (moreTokens - tokens) / (moreSteps - steps);
  expect(share).toBeGreaterThan(0.9);
  expect(share).toBeLessThan(1.1);
  stream.leave();
  await stream.ended;
});

test("after 200 requests with half a second's patience the next is answered at once", async () => {
  await Promise.all(Array.from({ length: 200 }, () => leaving(500, {})));
  const start = performance.now();
  const response = await complete(server, { max_tokens: 4 });
  await response.text();
  expect(response.status).toBe(200);
  // Behind 200 answers of 4,000 tokens it would wait for minutes.
  expect(performance.now() - start).toBeLessThan(10_000);
});

test("a connection is used again after an error, with several requests at once", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(server.port, "127.0.0.1");
  let said = "";
  socket.on("data", (data) => said += data.toString("latin1"));
  socket.on("close", () => resolve(said));
  const head = "Host: 127.0.0.1\r\n";
  const bad = "POST /v1/completions HTTP/1.1\r\n" + head +
    "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{";
  socket.write(
    `${bad}HEAD /v1/models HTTP/1.1\r\n${head}\r\nOPTIONS /v1/models HTTP/1.1\r\n${head}\r\n` +
      `PUT /v1/completions HTTP/1.1\r\n${head}Content-Length: 0\r\n\r\n` +
      `GET /health HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
  );
  const statuses = [...(await promise).matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) =>
    status
  );
  expect(statuses).toEqual(["400", "200", "204", "405", "200"]);
});
