/** Requests that may never end, beside those that will: who waits for whom. */

import { afterEach, expect, test } from "bun:test";
import { backendOptions, Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import { limits } from "../../src/limits.ts";
import { until } from "../support/until.ts";
import { config, emptySource } from "./fake-backend.ts";
import { answer, PagedBackend } from "./paged-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
const CONTEXT = config.contextTokens;
const CHUNK = 32;
const WHOLE = { sinks: 4, window: CONTEXT - 5 };

const engines: Engine[] = [];
afterEach(() => engines.splice(0).forEach((engine) => engine.close()));

async function open(options: EngineOptions, contextTokens = CONTEXT): Promise<Engine> {
  const source = { ...emptySource, config: { ...config, contextTokens } };
  const { pages } = backendOptions(source, options);
  const engine = await Engine.open(source, new PagedBackend(pages), options);
  engines.push(engine);
  return engine;
}

function generate(tokens: readonly number[], maxTokens: number): GenerateRequest {
  return { kind: "generate", tokens, maxTokens, sampling: GREEDY };
}

interface Run {
  readonly tokens: number[];
  readonly ended: Promise<void>;
  leave(): void;
}

/** Reads all that comes; an end by closing the engine is one like any other. */
function run(engine: Engine, request: GenerateRequest): Run {
  const tokens: number[] = [];
  const controller = new AbortController();
  const read = async (events: AsyncIterable<EngineEvent>) => {
    for await (const event of events) if (event.type === "token") tokens.push(event.token);
  };
  const ended = read(engine.submit(request, controller.signal)).catch(() => {});
  return { tokens, ended, leave: () => controller.abort() };
}

const endless = (engine: Engine, from: number, attention = WHOLE) =>
  run(engine, { ...generate([from], Infinity), attention });
const prompt = (length: number) => Array.from({ length }, (_, i) => i % 50);

test("one that ends passes what waits for an endless one, and that comes first afterwards", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: CONTEXT + CHUNK });
  const stream = endless(engine, 1);
  await until(() => stream.tokens.length > 0);
  const large = run(engine, generate(prompt(100), 4));
  const other = endless(engine, 2);
  await until(() => engine.stats().waiting === 2);
  const small = run(engine, generate(prompt(5), 4));
  await small.ended;
  expect(small.tokens).toEqual(answer(prompt(5), 4));
  expect([large.tokens, other.tokens]).toEqual([[], []]);
  stream.leave();
  await large.ended;
  expect(large.tokens).toEqual(answer(prompt(100), 4));
  await until(() => other.tokens.length > 0);
});

test("pages that it would share do not count as those of others", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: CONTEXT + CHUNK });
  await run(engine, generate(prompt(40), 1)).ended;
  const stream = endless(engine, 1);
  await until(() => stream.tokens.length > 0);
  // Two pages of it are remembered, and there is no third.
  const again = run(engine, generate(prompt(40), 4));
  await until(() => engine.stats().waiting === 1);
  const small = run(engine, generate([9, 8, 7], 4));
  await small.ended;
  expect([small.tokens, again.tokens]).toEqual([answer([9, 8, 7], 4), []]);
  stream.leave();
  await again.ended;
  expect(again.tokens).toEqual(answer(prompt(40), 4));
});

test("however many wait for an endless one, the next that fits begins", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: CONTEXT + CHUNK });
  const stream = endless(engine, 1);
  await until(() => stream.tokens.length > 0);
  const large = Array.from({ length: 40 }, (_, i) => run(engine, generate(prompt(60 + i), 2)));
  await until(() => engine.stats().waiting === large.length);
  const small = run(engine, generate([9, 8, 7], 4));
  await small.ended;
  expect(small.tokens).toEqual(answer([9, 8, 7], 4));
  stream.leave();
  await Promise.all(large.map(({ ended }) => ended));
  for (const [i, { tokens }] of large.entries()) expect(tokens).toEqual(answer(prompt(60 + i), 2));
});

test("those that nobody reads give their pages up, and go on with the same tokens", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: 1_024 + CHUNK }, 1_024);
  const lazy = [1, 2, 3].map((from) => engine.submit(generate([from], 600)));
  const first = await Promise.all(lazy.map((events) => events.next()));
  const most = 3 * Math.ceil(limits.eventsWaiting / limits.pageTokens);
  await until(() => engine.stats().pagesUsed >= most);
  const large = run(engine, generate(prompt(400), 20));
  await large.ended;
  expect(large.tokens).toEqual(answer(prompt(400), 20));
  expect(engine.stats().preemptions).toBeGreaterThan(0);
  for (const [i, events] of lazy.entries()) {
    const all = [first[i]?.value as EngineEvent, ...await Array.fromAsync(events)];
    const tokens = all.flatMap((event) => event.type === "token" ? [event.token] : []);
    expect(tokens).toEqual(answer([i + 1], 600));
  }
});

test("endless ones leave the pages of a whole context, however many they are", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: 4 * CONTEXT });
  const streams = [1, 2, 3, 4, 5].map((from) => endless(engine, from));
  await until(() => streams.filter(({ tokens }) => tokens.length > 0).length === 3);
  const whole = run(engine, generate(prompt(20), CONTEXT - 20));
  await whole.ended;
  expect(whole.tokens).toEqual(answer(prompt(20), CONTEXT - 20));
  expect(engine.stats()).toMatchObject({ running: 3, waiting: 2, preemptions: 0 });
  streams[0]?.leave();
  await until(() => (streams[3]?.tokens.length ?? 0) > 0);
});

test("endless ones leave places, and those that nobody reads take none", async () => {
  const small = { sinks: 0, window: 8 };
  const engine = await open({ chunkTokens: 64, kvTokens: 200 * 32 });
  const streams = Array.from({ length: 64 }, (_, i) => endless(engine, i % 50, small));
  await until(() => engine.stats().running === limits.longRequests);
  const beside = run(engine, generate(prompt(5), 20));
  await beside.ended;
  expect(beside.tokens).toEqual(answer(prompt(5), 20));
  expect(engine.stats().waiting).toBe(streams.length - limits.longRequests);

  for (const stream of streams) stream.leave();
  const lazy = Array.from(
    { length: limits.runningRequests },
    (_, i) => engine.submit({ ...generate([i % 50], Infinity), attention: small }),
  );
  // Their readers take one event, and what may wait for them is soon there.
  await Promise.all(lazy.map((events) => events.next()));
  await until(() => engine.stats().running === lazy.length);
  const last = run(engine, generate(prompt(7), 20));
  await last.ended;
  expect(last.tokens).toEqual(answer(prompt(7), 20));
  expect(engine.stats().running).toBe(lazy.length);
});

test("nobody passes one that waits for requests that end", async () => {
  const engine = await open({ chunkTokens: CHUNK, kvTokens: CONTEXT + CHUNK });
  const first = run(engine, generate(prompt(100), 20));
  await until(() => first.tokens.length > 0);
  const large = run(engine, generate(prompt(110).map((token) => token + 1), 4));
  const small = run(engine, generate([9, 8, 7], 1));
  await until(() => small.tokens.length > 0);
  expect([first.tokens.length, large.tokens.length > 0]).toEqual([20, true]);
});
