import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { findKey, hashKey } from "../../src/server/auth.ts";
import { errorOf, fakeApp } from "./fake-app.ts";

const KEYS = ["sk-first-key", "sk-second-key"];
const settings = { keyHashes: KEYS.map(hashKey) };
const OPEN = ["/health", "/ready"];
/** A path for each template. */
const concrete = (template: string) => template.replace(/:\w+/g, "x");

describe("with keys set", () => {
  const { ask, app, post, lines } = fakeApp({ settings });

  const paths = [...app.routes].flatMap(([template, methods]) =>
    [...methods, "HEAD", "OPTIONS", "DELETE"].map((method) => [method, concrete(template)] as const)
  ).filter(([, path]) => !OPEN.includes(path));

  test("there are routes to try", () => expect(paths.length).toBeGreaterThan(30));

  test.each(paths)("%s %s asks for one", async (method, path) => {
    const answer = await ask(path, { method });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    if (method === "HEAD") return;
    expect(await errorOf(answer)).toEqual({
      message: expect.any(String),
      type: "invalid_request_error",
      param: null,
      code: "invalid_api_key",
    });
  });

  test.each([
    ...["/", "/nothing", "//v1//models", "/v1//models", "/V1/Models", "/v1/models/"],
    ...["/v1/%2e%2e/v1/models", "/health/", "/Health", "//health", "/health/../v1/models"],
    ...["/%68ealth/x", "/v1/models%00", "/metrics?key=sk-first-key", "/healthz"],
  ])("%s asks for one, route or not", async (path) => {
    expect((await ask(path)).status).toBe(401);
  });

  test.each(OPEN)("%s does not", async (path) => {
    expect((await ask(path)).status).toBe(200);
  });

  test.each([...KEYS.map((key) => `Bearer ${key}`), `bearer ${KEYS[0]}`, `Bearer   ${KEYS[0]}  `])(
    "%p is let in",
    async (authorization) => {
      expect((await ask("/v1/models", { headers: { authorization } })).status).toBe(200);
    },
  );

  test.each([
    ...["", "Bearer", "Bearer ", "Bearer sk-first-ke", "Bearer sk-first-key2", "sk-first-key"],
    ...["Basic sk-first-key", `Basic ${btoa("x:sk-first-key")}`, "Bearer sk-first-key sk-second"],
    ...["Bearer sk-first-key,Bearer x", "Bearer\tsk-first-key", "Bearer SK-FIRST-KEY"],
    ...["Token sk-first-key", `Bearer ${"x".repeat(100_000)}`],
  ])("%.40p is not", async (authorization) => {
    expect((await ask("/v1/models", { headers: { authorization } })).status).toBe(401);
  });

  test.each(["x-api-key", "api-key", "cookie"])("a key in %s is not seen", async (name) => {
    expect((await ask("/v1/models", { headers: { [name]: "sk-first-key" } })).status).toBe(401);
  });

  test("no key reaches an answer or the log", async () => {
    const authorization = "Bearer sk-canary-wrong";
    const texts = await Promise.all([
      ask("/metrics", { headers: { authorization: `Bearer ${KEYS[0]}` } }),
      post("/tokenize", { content: "a" }, { authorization: `Bearer ${KEYS[1]}` }),
      ask("/v1/models?api_key=sk-canary-query", { headers: { authorization } }),
      ask("/sk-canary-path"),
    ].map(async (answer) => await (await answer).text()));
    for (const text of [...texts, ...lines]) {
      for (const secret of [...KEYS, "sk-canary"]) expect(text).not.toContain(secret);
      for (const hash of settings.keyHashes) {
        expect(text).not.toContain(Buffer.from(hash).toString("hex"));
      }
    }
    expect(lines.length).toBeGreaterThan(0);
  });
});

test("without keys no one is asked for one, and a given one does no harm", async () => {
  const { ask } = fakeApp();
  expect((await ask("/v1/models")).status).toBe(200);
  expect((await ask("/v1/models", { headers: { authorization: "Bearer x" } })).status).toBe(200);
});

test("concurrency is counted for each key", async () => {
  const gate = Promise.withResolvers<number[]>();
  const base = fakeApp().services.text;
  const { post } = fakeApp({
    settings: { ...settings, maxChoices: 3, maxChoicesPerKey: 2 },
    services: { text: base && { ...base, encode: () => gate.promise } },
  });
  const ask = (key: string | undefined) =>
    post("/tokenize", { content: "a" }, { authorization: `Bearer ${key}` });
  const held = [ask(KEYS[0]), ask(KEYS[0]), ask(KEYS[0]), ask(KEYS[1]), ask(KEYS[1])];
  await Promise.resolve();
  gate.resolve([1]);
  const statuses = (await Promise.all(held)).map(({ status }) => status);
  expect(statuses).toEqual([200, 200, 429, 200, 429]);
  expect((await ask(KEYS[0])).status).toBe(200);
});

test("the time of a comparison tells nothing about a key", () => {
  const key = `sk-${"k".repeat(60)}`;
  const hashes = [hashKey(key)];
  const near = `${key.slice(0, -1)}x`;
  const far = `x${key.slice(1)}`;
  const time = (guess: string): number => {
    const start = performance.now();
    for (let i = 0; i < 200; i++) findKey(guess, hashes);
    return performance.now() - start;
  };
  // 100,000 of each, in turns, so that whatever slows the machine slows both.
  const times = Array.from({ length: 500 }, () => [time(near), time(far)] as const);
  const median = (of: 0 | 1) => times.map((pair) => pair[of]).sort((a, b) => a - b)[250] as number;
  expect(findKey(key, hashes)).toBeDefined();
  expect(findKey(near, hashes)).toBeUndefined();
  expect(median(0) / median(1)).toBeGreaterThan(0.8);
  expect(median(0) / median(1)).toBeLessThan(1.25);
});
