/**
 * A thousand requests that arrive, are cancelled, stop being read and fail at random, under a seed:
 * each ends exactly once, with exactly the tokens it would have had alone, and no page is lost.
 */

import { expect, test } from "bun:test";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { EngineRequest, GenerateRequest } from "../../src/engine/request.ts";
import { ArcticError, errorCode } from "../../src/errors.ts";
import { Random } from "../../src/engine/random.ts";
import { answer, PagedBackend } from "./paged-backend.ts";
import { emptySource, VOCABULARY } from "./fake-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

interface Outcome {
  readonly tokens: number[];
  readonly ended: string[];
}

interface Plan {
  readonly request: GenerateRequest;
  /** Tokens after which the client goes away; Infinity: it stays. */
  readonly leavesAfter: number;
  /** Ticks of the event loop that the client waits before it reads on. */
  readonly readsEvery: number;
}

class World {
  readonly random: Random;
  readonly backend: PagedBackend;
  readonly engine: Engine;
  /** Forward passes that still go well until one fails. */
  faultIn = Infinity;
  faults = 0;

  private constructor(random: Random, backend: PagedBackend, engine: Engine) {
    this.random = random;
    this.backend = backend;
    this.engine = engine;
    backend.onForward = () => {
      if (this.faultIn-- > 0) return;
      this.faultIn = this.below(300);
      this.faults += 1;
      throw new ArcticError("device_fault", "The device failed, as the simulation wanted.");
    };
  }

  static async make(seed: number, pageHash?: (tokens: readonly number[]) => number) {
    // Room for two contexts: requests have to wait and to give their pages up.
    // The clock counts its readings: the same seed runs the same steps on any machine.
    let now = 0;
    const clock = () => now++;
    const options = { chunkTokens: 24, kvTokens: 300, clock, ...(pageHash && { pageHash }) };
    const backend = new PagedBackend(backendOptions(emptySource, options).pages);
    const engine = await Engine.open(emptySource, backend, options);
    return new World(new Random(seed), backend, engine);
  }

  below(n: number): number {
    return Math.floor(this.random.uniform() * n);
  }

  plan(): Plan {
    // Few beginnings, so that prefixes are shared, and page borders fall anywhere.
    const beginning = Array.from({ length: this.below(60) }, (_, i) => (i * 7) % VOCABULARY);
    const own = Array.from({ length: 1 + this.below(12) }, () => this.below(VOCABULARY - 1));
    const slides = this.below(4) === 0;
    const tokens = [...beginning.slice(0, 50), ...own];
    return {
      request: {
        kind: "generate",
        tokens,
        maxTokens: 1 + this.below(slides ? 150 : 50),
        sampling: GREEDY,
        cacheSalt: `key ${this.below(2)}`,
        ...(slides && { attention: { sinks: this.below(5), window: 10 + this.below(40) } }),
      },
      leavesAfter: this.below(5) === 0 ? this.below(20) : Infinity,
      readsEvery: this.below(10) === 0 ? this.below(8) : 0,
    };
  }

  async run({ request, leavesAfter, readsEvery }: Plan): Promise<Outcome> {
    const abort = new AbortController();
    const tokens: number[] = [];
    const ended: string[] = [];
    try {
      if (leavesAfter === 0) abort.abort();
      for await (const event of this.engine.submit(request as EngineRequest, abort.signal)) {
        if (event.type === "end") ended.push(event.finishReason);
        if (event.type === "token") tokens.push(event.token);
        if (tokens.length >= leavesAfter) abort.abort();
        for (let i = 0; i < readsEvery; i++) await tick();
      }
    } catch (error) {
      ended.push(errorCode(error) ?? String(error));
    }
    return { tokens, ended };
  }
}

const tick = () => new Promise((resolve) => setImmediate(resolve));

async function simulate(world: World, requests: number) {
  const running: Promise<[Plan, Outcome]>[] = [];
  for (let i = 0; i < requests; i++) {
    const plan = world.plan();
    running.push(world.run(plan).then((outcome) => [plan, outcome]));
    for (let wait = world.below(20); wait > 0; wait--) await tick();
    const { running: active, waiting, pagesUsed, pagesTotal, pagesCached } = world.engine.stats();
    expect(pagesUsed + pagesCached).toBeLessThanOrEqual(pagesTotal);
    if (active + waiting === 0) expect(pagesUsed).toBe(0);
  }
  return await Promise.all(running);
}

function check(outcomes: readonly [Plan, Outcome][]) {
  const counts = new Map<string, number>();
  for (const [{ request, leavesAfter }, { tokens, ended }] of outcomes) {
    expect(ended).toHaveLength(1);
    const end = ended[0] as string;
    counts.set(end, (counts.get(end) ?? 0) + 1);
    const wanted = answer(request.tokens, request.maxTokens as number, request.attention);
    expect(tokens).toEqual(wanted.slice(0, tokens.length));
    if (end === "length") expect(tokens).toHaveLength(wanted.length);
    if (end === "cancelled") expect(tokens.length).toBeGreaterThanOrEqual(leavesAfter);
  }
  return counts;
}

test.each([1, 20_261_121])("1,000 arrivals, cancels and faults: seed %p", async (seed) => {
  const world = await World.make(seed);
  world.faultIn = 100;
  const counts = check(await simulate(world, 1_000));
  expect([...counts.keys()].sort()).toEqual(["cancelled", "device_fault", "length"]);
  expect(counts.get("length")).toBeGreaterThan(500);
  expect(world.faults).toBeGreaterThan(10);
  const { running, waiting, pagesUsed, preemptions, prefixHits, evictedTokens } = world.engine
    .stats();
  expect({ running, waiting, pagesUsed }).toEqual({ running: 0, waiting: 0, pagesUsed: 0 });
  // What the simulation is about did happen.
  expect(preemptions).toBeGreaterThan(0);
  expect(prefixHits).toBeGreaterThan(1_000);
  expect(evictedTokens).toBeGreaterThan(1_000);
});

test("colliding hashes give no foreign pages", async () => {
  const world = await World.make(3, (tokens) => (tokens[0] ?? 0) & 1);
  const counts = check(await simulate(world, 200));
  expect(counts.get("length")).toBeGreaterThan(100);
});
