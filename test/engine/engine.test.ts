import { expect, spyOn, test } from "bun:test";
import { Engine, type EngineTokenizer } from "../../src/engine/engine.ts";
import { PagePool } from "../../src/engine/page-pool.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { EngineRequest, GenerateRequest } from "../../src/engine/request.ts";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { until } from "../support/until.ts";
import { emptySource, FakeBackend } from "./fake-backend.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

/** Token 1 is "a", 2 is "b", … */
const letters: EngineTokenizer = {
  textStream: () => ({ push: (token) => String.fromCharCode(96 + token), flush: () => "" }),
};

async function setUp(options: { chunkTokens?: number; tokenizer?: EngineTokenizer } = {}) {
  const backend = new FakeBackend();
  const engine = await Engine.open(emptySource, backend, options);
  return { backend, engine };
}

function generate(overrides: Partial<GenerateRequest> = {}): GenerateRequest {
  return { kind: "generate", tokens: [1, 2, 3], maxTokens: 4, sampling: GREEDY, ...overrides };
}

async function collect(events: AsyncIterable<EngineEvent>) {
  const all: EngineEvent[] = [];
  for await (const event of events) all.push(event);
  const tokens = all.flatMap((event) => event.type === "token" ? [event.token] : []);
  const text = all.map((event) => event.type === "token" || event.type === "end" ? event.text : "");
  const end = all.findLast((event) => event.type === "end");
  return { all, tokens, text: text.join(""), end };
}

async function codeOf(run: Promise<unknown>) {
  return errorCode(await run.then(() => undefined, (error) => error));
}

test("generates greedily and ends at max_tokens", async () => {
  const { engine } = await setUp({ tokenizer: letters });
  const { tokens, text, end, all } = await collect(engine.submit(generate()));
  expect(tokens).toEqual([4, 5, 6, 7]);
  expect(text).toBe("defg");
  expect(end?.finishReason).toBe("length");
  expect(end?.usage).toEqual({ promptTokens: 3, completionTokens: 4, cachedTokens: 0 });
  expect(all.at(-1)).toBe(end as EngineEvent);
});

test("ends at the end-of-sequence token, which is not part of the output", async () => {
  const { engine } = await setUp();
  const { tokens, end } = await collect(engine.submit(generate({ tokens: [60], maxTokens: 9 })));
  expect(tokens).toEqual([61, 62]);
  expect(end?.finishReason).toBe("stop");
});

test("ignore_eos generates past it", async () => {
  const { engine } = await setUp();
  const request = generate({ tokens: [61], maxTokens: 4, ignoreEos: true });
  expect((await collect(engine.submit(request))).tokens).toEqual([62, 63, 0, 1]);
});

test("min_tokens holds for an output that repeats itself", async () => {
  const { engine } = await setUp();
  const attention = { sinks: 1, window: 4 };
  const looping = { tokens: [1], maxTokens: 700, ignoreEos: true, stopOnLoop: true, attention };
  const { tokens, end } = await collect(engine.submit(generate(looping)));
  expect([tokens.length, end?.finishReason]).toEqual([limits.loopTokens, "loop"]);
  for (const minTokens of [limits.loopTokens, limits.loopTokens + 40]) {
    const later = await collect(engine.submit(generate({ ...looping, minTokens })));
    expect([later.tokens.length, later.end?.finishReason]).toEqual([minTokens, "loop"]);
  }
});

test("an end token or stop token is told with its log-probability where they are asked for", async () => {
  const { engine } = await setUp();
  // One logit is 10 and the other 63 are 0, so the token that is drawn has this share.
  const expected = -Math.log1p(63 * Math.exp(-10));
  for (const [overrides, token] of [[{}, 63], [{ stopTokens: [62] }, 62]] as const) {
    const request = { tokens: [60], maxTokens: 9, ...overrides };
    const { tokens, end } = await collect(engine.submit(generate({ ...request, logprobs: 2 })));
    expect(tokens).not.toContain(token);
    expect(end).toMatchObject({ finishReason: "stop", endToken: { token } });
    expect(end?.endToken?.logprob).toBeCloseTo(expected, 6);
    expect(end?.endToken?.top.map((likely) => likely.token)).toEqual([token, 0]);
    expect(end?.usage.completionTokens).toBe(tokens.length);
    expect((await collect(engine.submit(generate(request)))).end).not.toHaveProperty("endToken");
  }
});

test("an end that no token brought tells none", async () => {
  const { engine } = await setUp({ tokenizer: letters });
  for (const overrides of [{ maxTokens: 2 }, { stop: ["e"] }]) {
    const { end } = await collect(engine.submit(generate({ ...overrides, logprobs: 1 })));
    expect(end).not.toHaveProperty("endToken");
  }
});

test("a stop string across tokens ends the text before it", async () => {
  const { engine } = await setUp({ tokenizer: letters });
  const request = generate({ maxTokens: 20, stop: ["zz", "ghi"] });
  const { text, end } = await collect(engine.submit(request));
  expect(text).toBe("def");
  expect(end?.finishReason).toBe("stop");
});

test("text held back for a stop string that did not come is given at the end", async () => {
  const { engine } = await setUp({ tokenizer: letters });
  const { text } = await collect(engine.submit(generate({ stop: ["gX"] })));
  expect(text).toBe("defg");
});

test("generation ends where the context does", async () => {
  const { engine } = await setUp();
  const { maxTokens: _, ...request } = generate({ ignoreEos: true });
  const { tokens, end } = await collect(engine.submit(request));
  expect(tokens.length).toBe(engine.contextTokens - 3);
  expect(end?.finishReason).toBe("length");
});

test("under a window it goes on past the context", async () => {
  const { engine } = await setUp();
  const attention = { sinks: 2, window: 20 };
  const request = generate({ attention, ignoreEos: true, maxTokens: 500 });
  expect((await collect(engine.submit(request))).tokens.length).toBe(500);
});

test("a prompt is read in chunks and in order", async () => {
  const { engine, backend } = await setUp({ chunkTokens: 5 });
  const tokens = Array.from({ length: 12 }, (_, i) => i);
  const { all } = await collect(engine.submit(generate({ tokens, maxTokens: 1 })));
  expect(backend.batches.map((batch) => [...batch.position])).toEqual([
    [0, 1, 2, 3, 4],
    [5, 6, 7, 8, 9],
    [10, 11],
  ]);
  expect(backend.batches.map((batch) => [...batch.logitRows])).toEqual([[], [], [1]]);
  const done = all.flatMap((event) => event.type === "prefill" ? [event.done] : []);
  expect(done).toEqual([5, 10, 12]);
});

test("score yields the log-probabilities after every token, in order", async () => {
  const { engine } = await setUp({ chunkTokens: 4 });
  const { all, end } = await collect(engine.submit({ kind: "score", tokens: [5, 9, 11, 3, 7] }));
  const scored = all.flatMap((event) => event.type === "scored" ? [event] : []);
  expect(scored.map((event) => event.position)).toEqual([0, 1, 2, 3, 4]);
  const sum = scored[0]?.logprobs.reduce((total, p) => total + Math.exp(p), 0);
  expect(sum).toBeCloseTo(1, 5);
  expect(scored[0]?.logprobs.indexOf(Math.max(...scored[0].logprobs))).toBe(6);
  expect(end?.usage).toEqual({ promptTokens: 5, completionTokens: 0, cachedTokens: 0 });
});

test("an aborted request ends as cancelled, and the engine serves the next", async () => {
  const { engine } = await setUp();
  const control = new AbortController();
  const seen: EngineEvent[] = [];
  for await (const event of engine.submit(generate({ maxTokens: 100 }), control.signal)) {
    seen.push(event);
    if (seen.length === 3) control.abort();
  }
  const end = seen.at(-1);
  expect(end?.type === "end" && end.finishReason).toBe("cancelled");
  expect((await collect(engine.submit(generate()))).tokens).toEqual([4, 5, 6, 7]);
});

test("a request aborted before it starts runs nothing", async () => {
  const { engine, backend } = await setUp();
  const { end } = await collect(engine.submit(generate(), AbortSignal.abort()));
  expect(end?.finishReason).toBe("cancelled");
  expect(backend.batches.length).toBe(0);
});

test("leaving the loop frees the pages: a thousand times", async () => {
  const { engine } = await setUp();
  for (let i = 0; i < 1000; i++) {
    for await (const event of engine.submit(generate({ maxTokens: 100 }))) {
      if (event.type === "token") break;
    }
  }
  expect((await collect(engine.submit(generate()))).tokens).toEqual([4, 5, 6, 7]);
});

test("requests submitted together are all answered", async () => {
  const { engine } = await setUp();
  const answers = await Promise.all(
    [1, 10, 20, 30].map((token) => collect(engine.submit(generate({ tokens: [token] })))),
  );
  expect(answers.map(({ tokens }) => tokens[0])).toEqual([2, 11, 21, 31]);
});

test("a failing device ends the request with its error, and the next one is served", async () => {
  const { engine, backend } = await setUp();
  backend.onForward = (batch) => {
    if (batch.position[0] === 4) throw new Error("the device burns");
  };
  const run = collect(engine.submit(generate({ maxTokens: 8 })));
  expect(run).rejects.toThrow("the device burns");
  await run.catch(() => {});
  backend.onForward = () => {};
  expect((await collect(engine.submit(generate()))).tokens).toEqual([4, 5, 6, 7]);
});

test("logits that are no numbers end the request with engine_numerical_error", async () => {
  const { engine, backend } = await setUp();
  backend.onLogits = (row) => void (row[17] = NaN);
  expect(await codeOf(collect(engine.submit(generate())))).toBe("engine_numerical_error");
  const score = engine.submit({ kind: "score", tokens: [1] });
  expect(await codeOf(collect(score))).toBe("engine_numerical_error");
  backend.onLogits = (row) => void row.fill(-Infinity);
  expect(await codeOf(collect(engine.submit(generate())))).toBe("engine_numerical_error");
});

test("tokens that a constraint does not admit are passed over", async () => {
  const { engine } = await setUp();
  const seen: number[] = [];
  const constraint = {
    admits: (token: number) => token % 2 === 0,
    accept: (token: number) => void seen.push(token),
  };
  const { tokens } = await collect(engine.submit(generate({ constraint })));
  expect(tokens).toHaveLength(4);
  expect(tokens.every((token) => token % 2 === 0)).toBe(true);
  expect(tokens[0]).toBe(4);
  expect(seen).toEqual(tokens);
});

test("a constraint that admits nothing ends the request with its own error", async () => {
  const { engine } = await setUp();
  const constraint = { admits: () => false, accept: () => {} };
  const run = collect(engine.submit(generate({ constraint })));
  expect(await codeOf(run)).toBe("engine_nothing_admitted");
});

test("a reader that does not read holds the engine back", async () => {
  const { engine, backend } = await setUp();
  const attention = { sinks: 2, window: 20 };
  const events = engine.submit(generate({ attention, maxTokens: 5000, ignoreEos: true }));
  await events.next();
  await until(() => backend.batches.length >= limits.eventsWaiting);
  await Bun.sleep(5);
  const ran = backend.batches.length;
  expect(ran).toBeLessThanOrEqual(limits.eventsWaiting + 1);
  await Bun.sleep(20);
  expect(backend.batches.length).toBe(ran);
  const { tokens } = await collect(events);
  expect(tokens.length).toBe(5000);
});

test("closing the engine ends what runs and closes the backend", async () => {
  const { engine, backend } = await setUp();
  const begun = Promise.withResolvers<void>();
  backend.onForward = () => {
    begun.resolve();
    return Bun.sleep(1);
  };
  const run = collect(engine.submit(generate({ maxTokens: 100 })));
  await begun.promise;
  engine.close();
  expect(await codeOf(run)).toBe("engine_closed");
  expect(backend.closed).toBe(true);
});

const refused: [string, EngineRequest, `request_${string}`][] = [
  ["an empty prompt", generate({ tokens: [] }), "request_empty_prompt"],
  ["a token past the vocabulary", generate({ tokens: [64] }), "request_bad_token"],
  ["a negative token", generate({ tokens: [-1] }), "request_bad_token"],
  ["half a token", generate({ tokens: [1.5] }), "request_bad_token"],
  ["no room to generate", generate({ tokens: Array(128).fill(1) }), "request_context_length"],
  ["too long a text", { kind: "score", tokens: Array(129).fill(1) }, "request_context_length"],
  ["max_tokens 0", generate({ maxTokens: 0 }), "request_bad_max_tokens"],
  [
    "a window past the context",
    generate({ attention: { sinks: 4, window: 124 } }),
    "request_bad_window",
  ],
  ["no window", generate({ attention: { sinks: 4, window: 0 } }), "request_bad_window"],
  [
    "a negative temperature",
    generate({ sampling: { ...GREEDY, temperature: -1 } }),
    "request_bad_sampling",
  ],
  [
    "temperature NaN",
    generate({ sampling: { ...GREEDY, temperature: NaN } }),
    "request_bad_sampling",
  ],
  ["top_p 0", generate({ sampling: { ...GREEDY, topP: 0 } }), "request_bad_sampling"],
  ["top_k -1", generate({ sampling: { ...GREEDY, topK: -1 } }), "request_bad_sampling"],
  ["min_p 2", generate({ sampling: { ...GREEDY, minP: 2 } }), "request_bad_sampling"],
  ["an empty stop string", generate({ stop: [""] }), "request_bad_stop"],
  ["17 stop strings", generate({ stop: Array(17).fill("x") }), "request_bad_stop"],
];
for (const [what, request, code] of refused) {
  test(`refuses ${what} before any work`, async () => {
    const { engine, backend } = await setUp();
    expect(await codeOf(collect(engine.submit(request)))).toBe(code);
    expect(backend.batches.length).toBe(0);
  });
}

test("takes what is exactly at the limit", async () => {
  const { engine } = await setUp();
  const full = generate({ tokens: Array(127).fill(1), maxTokens: 5 });
  expect((await collect(engine.submit(full))).tokens.length).toBe(1);
  const score = { kind: "score", tokens: Array(128).fill(1) } as const;
  expect((await collect(engine.submit(score))).end?.usage.promptTokens).toBe(128);
});

test("counts prompts whole, cached or not, and every token that was drawn", async () => {
  const { engine } = await setUp();
  const tokens = Array.from({ length: 3 * limits.pageTokens }, (_, i) => i % 50);
  const request = generate({ tokens, maxTokens: 4, ignoreEos: true });
  await collect(engine.submit(request));
  const { end } = await collect(engine.submit(request));
  expect(end?.usage.cachedTokens).toBeGreaterThan(0);
  const { promptTokens, generatedTokens } = engine.stats();
  expect([promptTokens, generatedTokens]).toEqual([2 * tokens.length, 8]);
});

test("pages that do not add up end every request, each with an error", async () => {
  const { engine } = await setUp();
  const whole = spyOn(PagePool.prototype, "assertWhole");
  const first = engine.submit(generate({ ignoreEos: true, maxTokens: 50 }));
  await first.next();
  const others = [collect(engine.submit(generate())), collect(engine.submit(generate()))];
  whole.mockImplementation(() => {
    throw new Error("a page is lost");
  });
  try {
    const ends = await Promise.allSettled([collect(first), ...others]);
    expect(ends.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(engine.broken).toBeInstanceOf(Error);
  } finally {
    whole.mockRestore();
  }
});
