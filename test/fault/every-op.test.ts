/**
 * RELIABILITY row 77: each operation of a backend in turn fails, for every operation that a request
 * takes. Each time the request ends with that error, its pages are free, and the next one is right.
 */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import { backendOptions, Engine } from "../../src/engine/engine.ts";
import type { EngineRequest, GenerateRequest } from "../../src/engine/request.ts";
import { ArcticError, errorCode } from "../../src/errors.ts";
import type { Backend } from "../../src/model/backend.ts";
import { convert } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { tinyModel, tinyTokens, writeCheckpoint } from "../golden/tiny-model.ts";

const work = mkdtempSync(join(tmpdir(), "arctic-every-op-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const model = tinyModel({ layers: 2 });
writeCheckpoint(model, join(work, "checkpoint"));
await convert(join(work, "checkpoint"), join(work, "model"), {});

const STEP_OPS: ReadonlySet<string> = new Set<keyof Backend>([
  "begin",
  "embed",
  "rmsNorm",
  "linear",
  "gateUp",
  "rope",
  "kvWrite",
  "attention",
  "route",
  "expertMlp",
  "logits",
]);

/** Counts operations of forward passes, and fails the one whose turn it is. */
class Saboteur {
  done = 0;
  /** The operation after which `done` fails. */
  failAt = Infinity;
  /** What it throws; once. */
  error: Error | undefined;
  /** Passes whose logits have been read, and the one that has no number among them. */
  passes = 0;
  poisonAt = Infinity;
  readonly seen = new Set<string>();

  wrap(backend: Backend): Backend {
    return new Proxy(backend, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        const method = value.bind(target) as (...args: unknown[]) => unknown;
        if (typeof name !== "string" || !STEP_OPS.has(name)) return method;
        return (...args: unknown[]) => {
          this.seen.add(name);
          if (++this.done === this.failAt && this.error) {
            this.failAt = Infinity;
            throw this.error;
          }
          return name === "logits" ? this.#poisoned(method(...args)) : method(...args);
        };
      },
    });
  }

  async #poisoned(rows: unknown): Promise<unknown> {
    const logits = await rows;
    if (++this.passes === this.poisonAt && logits instanceof Float32Array) logits[0] = NaN;
    return logits;
  }
}

async function open() {
  const options = { chunkTokens: 16, kvTokens: 64 };
  const source = openModel(join(work, "model"));
  const saboteur = new Saboteur();
  const backend = saboteur.wrap(await openCpuBackend(source, backendOptions(source, options)));
  const engine = await Engine.open(source, backend, options);
  return {
    engine,
    saboteur,
    close: () => {
      engine.close();
      source.close();
    },
  };
}

const request: GenerateRequest = {
  kind: "generate",
  // Read in two chunks, and so many generated that a page is filled.
  tokens: tinyTokens(model, 20),
  maxTokens: 6,
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
  ignoreEos: true,
};

async function run(engine: Engine, each: EngineRequest) {
  const events: EngineEvent[] = [];
  let code: string | undefined;
  try {
    for await (const event of engine.submit(each)) events.push(event);
  } catch (error) {
    code = errorCode(error) ?? "not an ArcticError";
  }
  const tokens = events.flatMap((event) => event.type === "token" ? [event.token] : []);
  return { tokens, code, ends: events.filter(({ type }) => type === "end").length };
}

test(
  "whichever operation fails, its request fails with it, and the next one is right",
  async () => {
    const { engine, saboteur, close } = await open();
    const expected = await run(engine, { ...request, cacheSalt: "first" });
    expect(expected).toMatchObject({ code: undefined, ends: 1 });
    expect(expected.tokens).toHaveLength(6);
    const operations = saboteur.done;
    expect(operations).toBeGreaterThan(100);
    expect([...saboteur.seen].sort()).toEqual([...STEP_OPS].sort());
    saboteur.error = new ArcticError("device_fault", "The device failed, as the test wanted.");
    for (let n = 1; n <= operations; n++) {
      saboteur.done = 0;
      saboteur.failAt = n;
      const cacheSalt = `at ${n}`;
      const failed = await run(engine, { ...request, cacheSalt });
      expect([n, failed.code, failed.ends]).toEqual([n, "device_fault", 0]);
      expect(failed.tokens).toEqual(expected.tokens.slice(0, failed.tokens.length));
      expect([n, engine.stats()]).toMatchObject([n, { running: 0, waiting: 0, pagesUsed: 0 }]);
      // What the failed one left in the cache, where it left anything, is sound.
      const next = await run(engine, { ...request, cacheSalt });
      expect([n, next]).toEqual([n, expected]);
    }
    expect(engine.stats().pagesUsed).toBe(0);
    close();
  },
  120_000,
);

test("logits that are no numbers, whenever they come, fail their request, and the next one is right", async () => {
  const { engine, saboteur, close } = await open();
  const expected = await run(engine, { ...request, cacheSalt: "first" });
  const { passes } = saboteur;
  expect(passes).toBeGreaterThanOrEqual(6);
  for (let n = passes - 5; n <= passes; n++) {
    saboteur.passes = 0;
    saboteur.poisonAt = n;
    const cacheSalt = `at ${n}`;
    const failed = await run(engine, { ...request, cacheSalt });
    expect([n, failed.code, failed.ends]).toEqual([n, "engine_numerical_error", 0]);
    expect(failed.tokens).toEqual(expected.tokens.slice(0, failed.tokens.length));
    expect([n, engine.stats()]).toMatchObject([n, { running: 0, waiting: 0, pagesUsed: 0 }]);
    saboteur.poisonAt = Infinity;
    expect([n, await run(engine, { ...request, cacheSalt })]).toEqual([n, expected]);
  }
  expect(engine.stats().numericalErrors).toBe(6);
  close();
});

test(
  "whichever operation loses the device, all end with that, and nothing runs after it",
  async () => {
    const probe = await open();
    await run(probe.engine, request);
    const operations = probe.saboteur.done;
    probe.close();
    // Each loss costs an engine: every operation of the first steps, and some of the others.
    const places = Array.from({ length: operations }, (_, i) => i + 1).filter((n) =>
      n <= 12 || n % 41 === 0
    );
    for (const n of places) {
      const { engine, saboteur, close } = await open();
      saboteur.error = new ArcticError("device_lost", "The device was lost, as the test wanted.");
      saboteur.failAt = n;
      const longer = { ...request, maxTokens: 12 };
      const both = await Promise.all([run(engine, longer), run(engine, longer)]);
      expect([n, both.map(({ code }) => code)]).toEqual([n, ["device_lost", "device_lost"]]);
      expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0 });
      expect((await run(engine, request)).code).toBe("device_lost");
      expect(errorCode(engine.broken)).toBe("device_lost");
      close();
    }
  },
  120_000,
);
