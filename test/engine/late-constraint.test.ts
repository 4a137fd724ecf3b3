/** A request whose constraint is not ready sits out: it alone is late, and its tokens are the same. */

import { expect, test } from "bun:test";
import { backendOptions, Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import { Random } from "../../src/engine/random.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import { ArcticError, errorCode } from "../../src/errors.ts";
import { until } from "../support/until.ts";
import { emptySource } from "./fake-backend.ts";
import { answer, PagedBackend } from "./paged-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

async function setUp(options: EngineOptions = {}) {
  const backend = new PagedBackend(backendOptions(emptySource, options).pages);
  return await Engine.open(emptySource, backend, options);
}

function generate(tokens: readonly number[], overrides: Partial<GenerateRequest> = {}) {
  return { kind: "generate", tokens, maxTokens: 8, sampling: GREEDY, ...overrides } as const;
}

/** Admits everything, once `next` lets it; asking again before that is a mistake. */
class Gate {
  accepted = 0;
  closed = false;
  waits = false;
  readonly #next: () => Promise<void>;

  constructor(next: () => Promise<void>) {
    this.#next = next;
  }

  admits(): boolean {
    return true;
  }

  accept(): void {
    this.accepted++;
  }

  async ready(): Promise<void> {
    expect(this.waits).toBe(false);
    this.waits = true;
    await this.#next();
    this.waits = false;
  }

  close(): void {
    this.closed = true;
  }
}

async function tokensOf(events: AsyncIterable<EngineEvent>): Promise<number[]> {
  const tokens: number[] = [];
  for await (const event of events) if (event.type === "token") tokens.push(event.token);
  return tokens;
}

test("others go on, come and end while one waits for its constraint", async () => {
  const engine = await setUp();
  const { promise, resolve } = Promise.withResolvers<void>();
  const gate = new Gate(() => gate.accepted === 3 ? promise : Promise.resolve());
  const late = tokensOf(engine.submit(generate([1, 2], { constraint: gate })));
  const beside = tokensOf(engine.submit(generate([3, 4], { maxTokens: 40 })));
  expect(await beside).toEqual(answer([3, 4], 40));
  expect(gate.accepted).toBe(3);
  // Nothing runs now; what comes does not wait either.
  expect(await tokensOf(engine.submit(generate([5])))).toEqual(answer([5], 8));
  expect(engine.stats()).toMatchObject({ running: 1, waiting: 0 });
  resolve();
  expect(await late).toEqual(answer([1, 2], 8));
  expect(engine.stats()).toMatchObject({ running: 0, pagesUsed: 0 });
});

test("one that waits can be cancelled, and fails with its constraint", async () => {
  const engine = await setUp();
  const abort = new AbortController();
  const gate = new Gate(() => new Promise(() => {}));
  const events = Array.fromAsync(
    engine.submit(generate([1, 2], { constraint: gate }), abort.signal),
  );
  await until(() => gate.waits);
  abort.abort();
  expect((await events).at(-1)).toMatchObject({ type: "end", finishReason: "cancelled" });
  expect(gate.closed).toBe(true);
  const { promise, reject } = Promise.withResolvers<void>();
  const failing = new Gate(() => promise);
  const failed = tokensOf(engine.submit(generate([1, 2], { constraint: failing })))
    .then(() => "none", errorCode);
  await until(() => failing.waits);
  reject(new ArcticError("engine_grammar", "The thread was lost, as the test wanted."));
  expect(await failed).toBe("engine_grammar");
  expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0 });
  expect(await tokensOf(engine.submit(generate([5])))).toEqual(answer([5], 8));
});

test("the tokens are the same where pages run out meanwhile", async () => {
  // Room for one context and a chunk: 128 + 16 tokens.
  const engine = await setUp({ chunkTokens: 16 });
  const random = new Random(7);
  const requests = Array.from({ length: 30 }, (_, i) => {
    const tokens = Array.from({ length: 1 + i % 30 }, (_, n) => (i + n * 3) % 60);
    const slides = i % 5 === 0;
    const gate = new Gate(() => Bun.sleep(Math.floor(random.uniform() * 3) * 7));
    return generate(tokens, {
      maxTokens: slides ? 40 : 12 + i % 20,
      ...(i % 3 !== 0 && { constraint: gate }),
      ...(slides && { attention: { sinks: 2, window: 30 } }),
    });
  });
  const runs = await Promise.all(requests.map((each) => tokensOf(engine.submit(each))));
  for (const [i, { tokens, maxTokens, attention }] of requests.entries()) {
    expect([i, runs[i]]).toEqual([i, answer(tokens, maxTokens, attention)]);
  }
  expect(engine.stats().preemptions).toBeGreaterThan(0);
  expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0 });
}, 60_000);
