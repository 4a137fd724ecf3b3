/** Requests beside each other: who shares a step, what they share of the cache, who fails alone. */

import { expect, test } from "bun:test";
import { backendOptions, Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import { ArcticError, errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import type { Batch } from "../../src/model/backend.ts";
import { emptySource, VOCABULARY } from "./fake-backend.ts";
import { answer, PagedBackend } from "./paged-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

async function setUp(options: EngineOptions = {}) {
  const backend = new PagedBackend(backendOptions(emptySource, options).pages);
  const engine = await Engine.open(emptySource, backend, options);
  const batches: Batch[] = [];
  backend.onForward = (batch) => void batches.push(batch);
  return { backend, engine, batches };
}

function generate(tokens: readonly number[], overrides: Partial<GenerateRequest> = {}) {
  return { kind: "generate", tokens, maxTokens: 8, sampling: GREEDY, ...overrides } as const;
}

function counting(n: number, from = 1): number[] {
  return Array.from({ length: n }, (_, i) => (from + i) % (VOCABULARY - 1));
}

async function collect(events: AsyncIterable<EngineEvent>) {
  const all = await Array.fromAsync(events);
  const tokens = all.flatMap((event) => event.type === "token" ? [event.token] : []);
  return { all, tokens, end: all.findLast((event) => event.type === "end") };
}

async function codeOf(run: Promise<unknown>) {
  return errorCode(await run.then(() => undefined, (error) => error));
}

/** Rows of each sequence of a batch. */
function rowsOf(batch: Batch): number[] {
  const rows = batch.sequences.map(() => 0);
  for (const s of batch.sequence) rows[s] = (rows[s] ?? 0) + 1;
  return rows;
}

test("requests that generate share a step, one row each", async () => {
  const { engine, batches } = await setUp();
  const prompts = [counting(5, 1), counting(9, 20), counting(3, 40)];
  const answers = await Promise.all(prompts.map((p) => collect(engine.submit(generate(p)))));
  for (const [i, { tokens }] of answers.entries()) expect(tokens).toEqual(answer(prompts[i]!, 8));
  expect(batches.some((batch) => rowsOf(batch).join() === "1,1,1")).toBe(true);
  // The first begins before the others have come.
  expect(batches.length).toBeLessThanOrEqual(10);
});

test("a long prompt is read beside those that generate, and stalls none of them", async () => {
  const { engine, batches } = await setUp({ chunkTokens: 32, kvTokens: 400 });
  const first = collect(engine.submit(generate([1, 2], { maxTokens: 60 })));
  while (batches.length < 5) await Bun.sleep(0);
  const long = collect(engine.submit(generate(counting(100), { maxTokens: 4 })));
  expect((await first).tokens).toEqual(answer([1, 2], 60));
  expect((await long).tokens).toEqual(answer(counting(100), 4));
  const mixed = batches.filter((batch) => batch.sequences.length === 2);
  expect(mixed.length).toBeGreaterThan(3);
  // The one that generates has its row in every step, the prompt has what is left of the step.
  expect(mixed.every((batch) => rowsOf(batch)[0] === 1 && batch.tokens.length <= 32)).toBe(true);
  expect(mixed.some((batch) => (rowsOf(batch)[1] ?? 0) > 1)).toBe(true);
  const sole = batches.filter((batch) => batch.sequences.length === 1);
  expect(sole.every((batch) => batch.tokens.length <= 4)).toBe(true);
});

test("how much of a prompt fits beside others follows what steps take", async () => {
  const rows = async (msPerRow: number) => {
    let now = 0;
    const { engine, backend, batches } = await setUp({ clock: () => now, chunkTokens: 64 });
    backend.onForward = (batch) => {
      batches.push(batch);
      now += 100 + msPerRow * (batch.tokens.length - 1);
    };
    const first = collect(engine.submit(generate([1], { maxTokens: 120 })));
    while (batches.length < 20) await Bun.sleep(0);
    await collect(engine.submit(generate(counting(110), { maxTokens: 1 })));
    await first;
    const mixed = batches.filter((batch) => batch.sequences.length === 2).slice(1, -1);
    return Math.max(...mixed.map((batch) => batch.tokens.length - 1));
  };
  // 100 ms alone: the step may be stretched to 160, by 6 rows of 10 ms or by all that fit.
  expect(await rows(10)).toBe(6);
  expect(await rows(0.1)).toBe(63);
});

test("a burst of prompts is read at once although one request generates", async () => {
  const { engine, batches } = await setUp({ kvTokens: 1_000 });
  const first = collect(engine.submit(generate([1], { maxTokens: 100 })));
  while (batches.length < 10) await Bun.sleep(0);
  batches.length = 0;
  const prompts = Array.from({ length: 6 }, (_, i) => counting(30, 10 + i));
  const answers = await Promise.all(prompts.map((p) => collect(engine.submit(generate(p)))));
  for (const [i, { tokens }] of answers.entries()) expect(tokens).toEqual(answer(prompts[i]!, 8));
  expect(Math.max(...batches.map((batch) => batch.tokens.length))).toBeGreaterThan(120);
  expect((await first).tokens).toEqual(answer([1], 100));
});

test("the beginning of a prompt is found where an earlier request left it", async () => {
  const { engine, batches } = await setUp();
  const prompt = counting(40);
  const first = await collect(engine.submit(generate(prompt)));
  expect(first.end?.usage).toEqual({ promptTokens: 40, completionTokens: 8, cachedTokens: 0 });
  batches.length = 0;
  const again = await collect(engine.submit(generate(prompt)));
  expect(again.tokens).toEqual(first.tokens);
  expect(again.end?.usage.cachedTokens).toBe(32);
  expect(batches[0]?.tokens.length).toBe(8);
  // A conversation goes on: what was generated is found, too.
  const next = [...prompt, ...first.tokens, 9, 9];
  const third = await collect(engine.submit(generate(next)));
  expect(third.end?.usage.cachedTokens).toBe(48 - 16 * Number(prompt.length + 7 < 48));
  expect(third.tokens).toEqual(answer(next, 8));
});

test("the logits of the last token are wanted: it is never taken from the cache", async () => {
  const { engine } = await setUp();
  await collect(engine.submit(generate(counting(32))));
  const { end, tokens } = await collect(engine.submit(generate(counting(32))));
  expect(end?.usage.cachedTokens).toBe(16);
  expect(tokens).toEqual(answer(counting(32), 8));
});

test.each([undefined, () => 7])("nothing is found across salts: hash %p", async (pageHash) => {
  const { engine } = await setUp(pageHash && { pageHash });
  const cached = async (cacheSalt?: string) => {
    const request = generate(counting(40), cacheSalt === undefined ? {} : { cacheSalt });
    return (await collect(engine.submit(request))).end?.usage.cachedTokens;
  };
  expect(await cached("a")).toBe(0);
  expect(await cached("b")).toBe(0);
  expect(await cached()).toBe(0);
  if (pageHash === undefined) {
    expect([await cached("a"), await cached("b"), await cached()]).toEqual([32, 32, 32]);
  }
});

test("pages of a request whose logits were no numbers are never found", async () => {
  const { engine, backend } = await setUp({ chunkTokens: 16 });
  backend.onLogits = (row) => void row.fill(NaN);
  expect(await codeOf(collect(engine.submit(generate(counting(40)))))).toBe(
    "engine_numerical_error",
  );
  backend.onLogits = () => {};
  const { end } = await collect(engine.submit(generate(counting(40))));
  expect(end?.usage.cachedTokens).toBe(0);
  expect(engine.stats().numericalErrors).toBe(1);
});

test("logits that are no numbers end one request and no other", async () => {
  const { engine, backend } = await setUp();
  let calls = 0;
  backend.onLogits = (row) => void (++calls === 8 && row.fill(NaN));
  const runs = [[1], [2, 3], [4, 5, 6]].map((p) => collect(engine.submit(generate(p))));
  const codes = await Promise.all(runs.map(codeOf));
  expect(codes.filter((code) => code === "engine_numerical_error")).toHaveLength(1);
  expect(codes.filter((code) => code === undefined)).toHaveLength(2);
  expect(engine.stats().pagesUsed).toBe(0);
});

test("when pages run out the youngest waits, and has the same tokens in the end", async () => {
  // Room for one context and a chunk: 128 + 16 tokens.
  const { engine } = await setUp({ chunkTokens: 16 });
  const prompts = [counting(30, 1), counting(30, 11), counting(30, 21)];
  const runs = prompts.map((p) => collect(engine.submit(generate(p, { maxTokens: 90 }))));
  const answers = await Promise.all(runs);
  for (const [i, { tokens }] of answers.entries()) expect(tokens).toEqual(answer(prompts[i]!, 90));
  expect(engine.stats().preemptions).toBeGreaterThan(0);
  expect(engine.stats().pagesUsed).toBe(0);
});

test("a reader that does not read holds nobody else", async () => {
  const { engine } = await setUp({ kvTokens: 600 });
  const attention = { sinks: 2, window: 20 };
  const lazy = engine.submit(generate([1], { attention, maxTokens: 5_000 }));
  await lazy.next();
  const { tokens } = await collect(engine.submit(generate([2, 3], { maxTokens: 100 })));
  expect(tokens).toEqual(answer([2, 3], 100));
  const rest = await collect(lazy);
  expect(rest.tokens).toEqual(answer([1], 5_000, attention));
});

test("too many that wait are refused", async () => {
  const { engine, backend } = await setUp();
  const held = Promise.withResolvers<void>();
  backend.onForward = () => held.promise;
  const most = limits.runningRequests + limits.waitingRequests;
  const runs = Array.from({ length: most + 70 }, () => collect(engine.submit(generate([1]))));
  held.resolve();
  const codes = await Promise.all(runs.map(codeOf));
  expect(codes.filter((code) => code === "engine_queue_full").length).toBeGreaterThan(0);
  expect(codes.filter((code) => code === undefined).length).toBeGreaterThanOrEqual(
    limits.waitingRequests,
  );
});

test("a lost device ends what runs, what waits and what comes", async () => {
  const { engine, backend } = await setUp();
  backend.onForward = () => {
    throw new ArcticError("device_lost", "The device is gone.");
  };
  const runs = [collect(engine.submit(generate([1]))), collect(engine.submit(generate([2])))];
  expect(await Promise.all(runs.map(codeOf))).toEqual(["device_lost", "device_lost"]);
  backend.onForward = () => {};
  expect(await codeOf(collect(engine.submit(generate([3]))))).toBe("device_lost");
});

test("stop tokens, min_tokens and an output that repeats itself", async () => {
  const { engine } = await setUp();
  const tokens = answer([1, 2, 3], 20);
  const stopAt = tokens[5] as number;
  const before = tokens.indexOf(stopAt);
  const stopped = await collect(
    engine.submit(generate([1, 2, 3], { maxTokens: 20, stopTokens: [stopAt] })),
  );
  expect(stopped.tokens).toEqual(tokens.slice(0, before));
  expect(stopped.end).toMatchObject({ finishReason: "stop", matched: stopAt });
  const later = await collect(
    engine.submit(generate([1, 2, 3], { maxTokens: 20, stopTokens: [stopAt], minTokens: 9 })),
  );
  expect(later.tokens.length).toBeGreaterThanOrEqual(9);
  expect(later.tokens.slice(0, 9)).not.toContain(stopAt);
});

test("log-probabilities come where they are asked for", async () => {
  const { engine } = await setUp();
  const { all } = await collect(engine.submit(generate([1, 2], { logprobs: 3 })));
  const events = all.filter((event) => event.type === "token");
  expect(events).toHaveLength(8);
  for (const event of events) {
    expect(event.top).toHaveLength(3);
    expect(event.top?.[0]).toEqual({ token: event.token, logprob: event.logprob as number });
  }
  const plain = await collect(engine.submit(generate([1, 2])));
  expect(plain.all.some((event) => event.type === "token" && "logprob" in event)).toBe(false);
  const scored = await collect(engine.submit({ kind: "score", tokens: [1, 2, 3], top: 2 }));
  const tops = scored.all.filter((event) => event.type === "scored-top");
  expect(tops.map((event) => event.next?.token)).toEqual([2, 3, undefined]);
  expect(tops.every((event) => event.top.length === 2)).toBe(true);
});
