/**
 * Output without end, as far as a test can see: 20,000 tokens in one generation, the accounts of every
 * token that left the window, and positions that no 32-bit integer holds.
 * test/load/endless.ts generates a million with the embedded model.
 */

import { heapStats } from "bun:jsc";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { usageAndTimings } from "../../src/cli/prompt-usage.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { GenerateRequest } from "../../src/engine/request.ts";
import { StopMatcher } from "../../src/engine/stop.ts";
import type { Backend, Batch } from "../../src/model/backend.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { synth } from "../../weights-manifest/synth.ts";
import { tinyConfig } from "../cli/arctic.ts";
import { emptySource } from "./fake-backend.ts";
import { answer, PagedBackend } from "./paged-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
/** Drawn at random, the output of a model with random weights does not go round in circles. */
const DRAWN = { ...GREEDY, temperature: 1, seed: 7 };
const LONG = 20_000;
const PROMPT = [11, 42, 7, 200, 3, 90, 17, 5, 61, 128, 33, 2];
const attention = { sinks: 4, window: 60 };
const folder = mkdtempSync(join(tmpdir(), "arctic-endless-"));
const model = join(folder, "model");

beforeAll(async () => {
  await synth({ ...tinyConfig, max_position_embeddings: 128 }, model, { seed: 5 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A generation on the CPU backend; `look` is called after every token. */
async function generate(
  overrides: Partial<GenerateRequest>,
  look: (engine: Engine, tokens: readonly number[]) => void = () => {},
  { chunkTokens = 256, wrap = (backend: Backend) => backend } = {},
) {
  const source = openModel(model);
  const options = { chunkTokens };
  const backend = wrap(await openCpuBackend(source, backendOptions(source, options)));
  const engine = await Engine.open(source, backend, options);
  const tokens: number[] = [];
  let end: Extract<EngineEvent, { type: "end" }> | undefined;
  try {
    const base = { kind: "generate", tokens: PROMPT, sampling: DRAWN, ignoreEos: true } as const;
    for await (const event of engine.submit({ ...base, attention, ...overrides })) {
      if (event.type === "end") end = event;
      if (event.type !== "token") continue;
      tokens.push(event.token);
      look(engine, tokens);
    }
    return { tokens, end, stats: engine.stats() };
  } finally {
    engine.close();
    source.close();
  }
}

describe("20,000 tokens in one generation", () => {
  test("hold as many pages, and as many objects, as the first thousand", async () => {
    const pages = new Set<number>();
    const objects: number[] = [];
    const filled = attention.sinks + attention.window + 1 - PROMPT.length;
    const { tokens, end, stats } = await generate({ maxTokens: LONG }, (engine, { length }) => {
      if (length >= filled && length < LONG) pages.add(engine.stats().pagesUsed);
      if (length % 5_000 !== 1_000 % 5_000) return;
      Bun.gc(true);
      objects.push(heapStats().objectCount);
    });
    expect(tokens).toHaveLength(LONG);
    expect(new Set(tokens.slice(-1_000)).size).toBeGreaterThan(100);
    expect(end?.finishReason).toBe("length");
    expect(end?.usage).toEqual({
      promptTokens: PROMPT.length,
      completionTokens: LONG,
      cachedTokens: 0,
    });
    // A window of 60, 12 entries for the prompt to be written in one go, and 4 sinks: 76 entries.
    expect([...pages]).toEqual([5]);
    expect(stats.pagesUsed).toBe(0);
    // The last token is generated but not stored; everything before it is, and then leaves.
    expect(stats.evictedTokens).toBe(PROMPT.length + LONG - 1 - attention.sinks - attention.window);
    const [early = 0, ...later] = objects;
    expect(later).toHaveLength(3);
    for (const count of later) expect(count).toBeLessThan(early + 2_000);
  });

  test("are the same whatever the prompt was cut into", async () => {
    const long = Array.from({ length: 100 }, (_, i) => (i * 37 + 5) % 250);
    const request = { tokens: long, maxTokens: 2_000 };
    const [whole, pieces] = [
      await generate(request, undefined, { chunkTokens: 256 }),
      await generate(request, undefined, { chunkTokens: 7 }),
    ];
    expect(pieces.tokens).toEqual(whole.tokens);
  });

  test.each([1, 7, 64])("are those of the definition: chunks of %p", async (chunkTokens) => {
    const options = { chunkTokens };
    const backend = new PagedBackend(backendOptions(emptySource, options).pages);
    const engine = await Engine.open(emptySource, backend, options);
    const prompt = Array.from({ length: 90 }, (_, i) => i % 60);
    const request = { kind: "generate", tokens: prompt, maxTokens: LONG, attention } as const;
    const tokens: number[] = [];
    for await (const event of engine.submit({ ...request, sampling: GREEDY })) {
      if (event.type === "token") tokens.push(event.token);
    }
    expect(tokens).toEqual(answer(prompt, LONG, attention));
  });
});

describe("the number of tokens is exact", () => {
  const filled = attention.sinks + attention.window + 1 - PROMPT.length;
  test.each([1, filled - 1, filled, filled + 1, filled + 60, 1_000])(
    "max_tokens %p",
    async (maxTokens) => {
      const { tokens, end, stats } = await generate({ maxTokens });
      expect(tokens).toHaveLength(maxTokens);
      expect(end?.finishReason).toBe("length");
      expect(end?.usage.completionTokens).toBe(maxTokens);
      const stored = PROMPT.length + maxTokens - 1;
      expect(stats.evictedTokens).toBe(Math.max(0, stored - attention.sinks - attention.window));
    },
  );

  test("beyond 2^31 and 2^32 in what a user is told", () => {
    const timings = {
      queueMs: 0,
      prefillMs: 1,
      decodeMs: 1,
      prefillTokensPerSecond: 1,
      decodeTokensPerSecond: 1,
    };
    for (const completionTokens of [2 ** 31, 2 ** 32 + 1, 2 ** 53 - 10]) {
      const usage = { promptTokens: 9, completionTokens, cachedTokens: 0 };
      const told = JSON.stringify(
        usageAndTimings({ usage: structuredClone(usage), timings }).usage,
      );
      expect(told).toContain(`"completion_tokens":${completionTokens},`);
      expect(told).toContain(`"total_tokens":${completionTokens + 9}}`);
    }
  });
});

/** The backend, to which every token after the window was full seems `entries` positions later. */
function later(backend: Backend, from: number, entries: number): Backend {
  const begin = (batch: Batch) =>
    backend.begin({
      ...batch,
      position: Float64Array.from(batch.position, (p) => p < from ? p : p + entries),
    });
  return new Proxy(backend, {
    get(target, name) {
      if (name === "begin") return begin;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test.each([31, 32, 40])("positions across 2^%p are like any other", async (bits) => {
  const ring = attention.window + PROMPT.length;
  // Whole turns of the ring, so that each token lies where it would; 2^bits is met after 300 tokens.
  const entries = Math.floor((2 ** bits - 300) / ring) * ring;
  const from = attention.sinks + attention.window;
  const near = await generate({ maxTokens: 1_000 });
  const far = await generate({ maxTokens: 1_000 }, undefined, {
    wrap: (backend) => later(backend, from, entries),
  });
  expect(far.tokens).toEqual(near.tokens);
});

test("a stop string that never comes holds back less than itself, however long the text", () => {
  const stops = ["aaaac", "ab".repeat(200) + "c"];
  const matcher = new StopMatcher(stops);
  const longest = Math.max(...stops.map(({ length }) => length));
  let shown = 0;
  for (let pushed = 0; pushed < 200_000;) {
    const piece = pushed % 1_000 < 500 ? "ab" : "aa";
    pushed += piece.length;
    const { text, stop } = matcher.push(piece);
    shown += text.length;
    if (stop !== undefined) throw new Error(`found ${stop}`);
    if (pushed - shown >= longest) throw new Error(`${pushed - shown} characters are held back`);
  }
  expect(shown + matcher.flush().length).toBe(200_000);
});
