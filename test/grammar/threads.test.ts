/** Threads: what a hostile grammar, a lost thread and ten thousand grammars do to everyone else. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { errorCode } from "../../src/errors.ts";
import type { GrammarSpec } from "../../src/grammar/grammar.ts";
import { limits } from "../../src/limits.ts";
import { mainThreadWaited, ownTime, Stopwatch } from "../support/own-time.ts";
import { Bench, embedded } from "./support.ts";

const schema = (schema: unknown): GrammarSpec => ({ kind: "json-schema", schema });
const ebnf = (text: string): GrammarSpec => ({ kind: "ebnf", text });
const manyProperties = (n: number) =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, { type: "string" }]));
let deep: object = { type: "string" };
for (let i = 0; i < 100; i++) deep = { type: "array", items: deep };

async function failure(promise: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  try {
    await promise;
  } catch (error) {
    return { code: errorCode(error), message: (error as Error).message };
  }
  return { code: "none", message: "" };
}

/** The threads that are started meanwhile, newest last. */
function watchThreads(): { readonly threads: Worker[]; readonly restore: () => void } {
  const threads: Worker[] = [];
  const Real = globalThis.Worker;
  globalThis.Worker = class extends Real {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      threads.push(this);
    }
  };
  return { threads, restore: () => void (globalThis.Worker = Real) };
}

let bench: Bench;
beforeAll(() => {
  bench = new Bench(embedded());
});
afterAll(() => bench.close());

describe("a hostile grammar", () => {
  const hostile: readonly (readonly [string, GrammarSpec, string])[] = [
    ["depth 100", schema(deep), "deep"],
    ["5,000 properties", schema({ type: "object", properties: manyProperties(5_000) }), "in all"],
    [
      "properties up to the limit",
      schema({
        type: "object",
        properties: manyProperties(limits.grammarProperties),
      }),
      "", // a quick machine may just manage it
    ],
    [
      "200 to 300 of 400 properties",
      schema({
        type: "object",
        properties: manyProperties(400),
        minProperties: 200,
        maxProperties: 300,
      }),
      "took too long",
    ],
    ["nested counts", schema({ pattern: "((a{1,1000}){1,1000}){1,1000}" }), "multiply"],
    ["nested counts of rules", ebnf('root ::= a{1,2000}\na ::= b{1,2000}\nb ::= "x"{1,2000}'), ""],
    ["a loop of references", schema({ $ref: "#" }), "refers to itself"],
    ["an external reference", schema({ $ref: "http://127.0.0.1:1/x" }), "same schema"],
    ["an unknown type", schema({ type: "str" }), "#/type"],
    ["a bad pattern", schema({ pattern: "(" }), "#/pattern"],
    ["a pattern that looks ahead", schema({ pattern: "(?=a)" }), "looks ahead"],
    ["an EBNF with an error", ebnf("root ::= foo"), 'Rule "foo" is not defined'],
    ["an EBNF that admits nothing", ebnf("root ::= root"), "no text"],
  ];

  test("is refused within a second, while timers and other outputs go on", async () => {
    const lease = await bench.grammars.compile({ kind: "json" });
    const lags: number[] = [];
    const waits: number[] = [];
    let over = false;
    const timers = (async () => {
      while (!over) {
        const started = performance.now() - mainThreadWaited();
        await new Promise((resolve) => setTimeout(resolve, 1));
        lags.push(performance.now() - mainThreadWaited() - started - 1);
      }
    })();
    const output = (async () => {
      const constraint = bench.constraint(lease.id);
      const [brace = 0] = bench.spelled("{");
      const [quote = 0] = bench.spelled('"');
      const [letter = 0] = bench.spelled("a");
      for (const token of [brace, quote]) {
        await constraint.ready();
        constraint.accept(token);
      }
      while (!over) {
        const watch = new Stopwatch();
        await constraint.ready();
        waits.push(watch.own());
        expect(constraint.admits(letter)).toBe(true);
        constraint.accept(letter);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      constraint.close();
    })();
    try {
      for (const [name, spec, words] of hostile) {
        const { value, own } = await ownTime(failure(bench.grammars.compile(spec)));
        const { code, message } = value;
        expect(own, name).toBeLessThan(1_000);
        expect(words === "" ? code : message, name).toContain(words === "" ? "" : words);
        if (words !== "") expect(code, name).toBe("request_bad_grammar");
      }
    } finally {
      over = true;
      await Promise.all([timers, output]);
      lease.release();
    }
    const p99 = (of: number[]) => of.sort((a, b) => a - b)[Math.floor(of.length * 0.99)] ?? 0;
    expect(waits.length).toBeGreaterThan(50);
    expect(p99(lags)).toBeLessThan(50);
    expect(p99(waits)).toBeLessThan(50);
    // No share of them shows a single halt: as long as the one that compiles for too long.
    expect(Math.max(...lags, ...waits)).toBeLessThan(limits.grammarComputedMilliseconds);
    const after = await bench.draw({ kind: "json" }, 1);
    expect(after.tokens.length).toBeGreaterThan(0);
  }, 60_000);

  test("that grows while it is followed ends its own output alone", async () => {
    const slow = ebnf('root ::= a a a a a a\na ::= b*\nb ::= c*\nc ::= ("a" | "aa" | "aaa")*');
    const { code } = await failure(bench.draw(slow, 1, 400));
    expect(["none", "request_bad_grammar"]).toContain(code as string);
    expect((await bench.draw({ kind: "json" }, 2)).tokens.length).toBeGreaterThan(0);
  });
});

describe("the end of a text", () => {
  const { eos } = embedded();

  test("is admitted exactly where the grammar can end", async () => {
    const lease = await bench.grammars.compile(ebnf('root ::= "a" "b"?'));
    const constraint = bench.constraint(lease.id);
    const [a = 0] = bench.spelled("a");
    const [b = 0] = bench.spelled("b");
    await constraint.ready();
    expect(constraint.admits(eos)).toBe(false);
    constraint.accept(a);
    await constraint.ready();
    expect(constraint.admits(eos)).toBe(true);
    expect(constraint.admits(b)).toBe(true);
    expect(constraint.admits(a)).toBe(false);
    constraint.accept(b);
    await constraint.ready();
    expect(bench.admitted(constraint)).toEqual([eos]);
    constraint.accept(eos);
    await constraint.ready();
    expect(bench.admitted(constraint)).toEqual([eos]);
    constraint.close();
    lease.release();
  });

  test("never comes to a grammar without one", async () => {
    const spec = schema({ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] });
    const { tokens, ended } = await bench.draw(spec, 1, 50);
    expect(ended).toBe(false);
    expect(tokens).toHaveLength(50);
  });

  test("special tokens and padding are never admitted", async () => {
    const lease = await bench.grammars.compile(ebnf("root ::= [^\\x00]*"));
    const constraint = bench.constraint(lease.id);
    await constraint.ready();
    const { tokens, size } = bench.vocabulary;
    const admitted = new Set(bench.admitted(constraint));
    expect(size).toBeGreaterThan(tokens.length);
    for (let id = 0; id < size; id++) {
      if (id !== eos && (tokens[id]?.length ?? 0) === 0) expect(admitted.has(id)).toBe(false);
    }
    constraint.close();
    lease.release();
  });
});

test("bytes of one character come as tokens of their own", async () => {
  const spelled = [..."語"].map((char) => [...Buffer.from(char)]).flat();
  const ids = spelled.map((byte) =>
    bench.vocabulary.tokens.findIndex((token) => token.length === 1 && token[0] === byte)
  );
  expect(ids.every((id) => id >= 0)).toBe(true);
  const lease = await bench.grammars.compile(ebnf('root ::= "語"'));
  const constraint = bench.constraint(lease.id);
  for (const id of ids) {
    await constraint.ready();
    expect(bench.admitted(constraint)).toEqual([id]);
    constraint.accept(id);
  }
  await constraint.ready();
  expect(bench.admitted(constraint)).toEqual([bench.vocabulary.eos]);
  constraint.close();
  lease.release();
});

test("a token that the grammar forbids is the engine's fault", async () => {
  const lease = await bench.grammars.compile(ebnf('root ::= "a"'));
  const constraint = bench.constraint(lease.id);
  await constraint.ready();
  constraint.accept(bench.spelled("b")[0] ?? 0);
  expect((await failure(constraint.ready())).code).toBe("engine_grammar");
  constraint.close();
  lease.release();
});

test("a place where nothing can follow is the grammar's fault", async () => {
  const lease = await bench.grammars.compile(ebnf('root ::= "a" b\nb ::= b')).catch(() =>
    undefined
  );
  if (lease === undefined) return;
  const constraint = bench.constraint(lease.id);
  await constraint.ready();
  constraint.accept(bench.spelled("a")[0] ?? 0);
  expect((await failure(constraint.ready())).code).toBe("request_bad_grammar");
  constraint.close();
  lease.release();
});

test("no thread is started before the first grammar, or for one that the checks refuse", async () => {
  const { threads, restore } = watchThreads();
  const own = new Bench(embedded());
  try {
    await failure(own.grammars.compile(schema({ type: "nope" })));
    expect(threads).toHaveLength(0);
    await own.grammars.compile({ kind: "json" });
    expect(threads).toHaveLength(2);
  } finally {
    restore();
    own.close();
  }
});

describe("a thread that is lost", () => {
  test("fails its outputs, and the next grammar gets another", async () => {
    const { threads, restore } = watchThreads();
    const own = new Bench(embedded());
    try {
      const lease = await own.grammars.compile({ kind: "json" });
      const constraint = own.constraint(lease.id);
      await constraint.ready();
      threads.at(-1)?.terminate();
      await Bun.sleep(50);
      constraint.accept(own.spelled("{")[0] ?? 0);
      expect((await failure(constraint.ready())).code).toBe("engine_grammar");
      constraint.close();
      const late = own.constraint(lease.id);
      expect((await failure(late.ready())).code).toBe("engine_grammar");
      late.close();
      lease.release();
      expect((await own.draw({ kind: "json" }, 1)).tokens.length).toBeGreaterThan(0);
    } finally {
      restore();
      own.close();
    }
  });

  test("fails the output that waits for it at that moment", async () => {
    const { threads, restore } = watchThreads();
    const own = new Bench(embedded());
    try {
      const lease = await own.grammars.compile({ kind: "json" });
      const constraint = own.constraint(lease.id);
      await constraint.ready();
      constraint.accept(own.spelled("{")[0] ?? 0);
      threads.at(-1)?.terminate();
      const { code } = await failure(
        constraint.ready().then(() => {
          constraint.accept(own.spelled('"')[0] ?? 0);
          return constraint.ready();
        }),
      );
      expect(code).toBe("engine_grammar");
      constraint.close();
    } finally {
      restore();
      own.close();
    }
  });

  test("while it tries a grammar, that grammar alone", async () => {
    const { threads, restore } = watchThreads();
    const own = new Bench(embedded());
    try {
      await own.grammars.compile({ kind: "json" });
      const tried = failure(own.grammars.compile(schema({
        type: "object",
        properties: manyProperties(limits.grammarProperties),
      })));
      await Bun.sleep(20);
      threads[0]?.terminate();
      expect((await tried).code).toBe("request_bad_grammar");
      await own.grammars.compile(schema({ type: "boolean" }));
    } finally {
      restore();
      own.close();
    }
  });
});

describe("leases", () => {
  test("the same grammar is compiled once, whatever its annotations say", async () => {
    const [one, two, other] = await Promise.all([
      bench.grammars.compile(schema({ type: "boolean" })),
      bench.grammars.compile(schema({ type: "boolean", description: "d" })),
      bench.grammars.compile(schema({ type: "null" })),
    ]);
    expect(one.id).toBe(two.id);
    expect(other.id).not.toBe(one.id);
    one.release();
    one.release();
    two.release();
    expect((await bench.grammars.compile(schema({ type: "boolean" }))).id).toBe(one.id);
  });

  test("keep a grammar through any number of others; without one it goes", async () => {
    const kept = await bench.grammars.compile(schema({ const: "kept" }));
    const gone = await bench.grammars.compile(schema({ const: "gone" }));
    gone.release();
    for (let i = 0; i <= limits.grammarsCached; i++) {
      (await bench.grammars.compile(schema({ const: i }))).release();
    }
    expect((await bench.follow(bench.constraint(kept.id), 1, 20)).ended).toBe(true);
    expect((await failure(bench.constraint(gone.id).ready())).code).toBe("engine_grammar");
    const again = await bench.grammars.compile(schema({ const: "gone" }));
    expect(again.id).not.toBe(gone.id);
  });

  test("too many grammars at once are told to come back", async () => {
    const specs = Array.from(
      { length: limits.grammarsWaiting + 5 },
      (_, i) => schema({ const: -i - 1 }),
    );
    const codes = await Promise.all(
      specs.map(async (spec) => (await failure(bench.grammars.compile(spec))).code),
    );
    expect(codes.filter((code) => code === "engine_queue_full")).toHaveLength(5);
    expect(codes.filter((code) => code === "none")).toHaveLength(limits.grammarsWaiting);
  });
});

test("after close, nothing is compiled", async () => {
  const own = new Bench(embedded());
  const lease = await own.grammars.compile({ kind: "json" });
  const constraint = own.constraint(lease.id);
  await constraint.ready();
  const waiting = failure(own.grammars.compile(schema({ const: 1 })));
  own.close();
  expect((await waiting).code).toBe("engine_grammar");
  expect((await failure(own.grammars.compile({ kind: "json" }))).code).toBe("engine_grammar");
});
