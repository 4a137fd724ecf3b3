/** What the server writes about requests, and what it never may. */

import { describe, expect, test } from "bun:test";
import { ArcticError } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { errorOf, fakeApp } from "./fake-app.ts";
import { byteText } from "./fake-services.ts";

const CANARY = "canary-7f3a";

const parse = (line: string) => JSON.parse(line) as Record<string, unknown>;

test("a request is one line, by its route's template", async () => {
  const { ask, lines } = fakeApp();
  await ask("/v1/models/x?secret=1", {
    headers: { "x-request-id": "me-1", "user-agent": "curl/8" },
  });
  expect(lines.length).toBe(1);
  expect(lines[0]).toEndWith("\n");
  expect(parse(lines[0] ?? "")).toEqual({
    ...{ level: "info", time: expect.any(String), msg: "request", request_id: "me-1" },
    ...{ method: "GET", route: "/v1/models/:id", status: 404, ms: expect.any(Number) },
    user_agent: "curl/8",
  });
});

test("a client's text can neither break a line nor steer a terminal", async () => {
  const { ask, lines } = fakeApp();
  const agent = `a\u001b[31m"}{\u0085\u009b31m ${"x".repeat(2 * limits.userAgentCharacters)}`;
  await ask("/version", { headers: { "user-agent": agent } });
  const [line = ""] = lines;
  expect(line.slice(0, -1)).not.toMatch(/\p{Cc}/u);
  expect(String(parse(line).user_agent).length).toBeLessThanOrEqual(limits.userAgentCharacters);
});

test("prompts reach no line, metric or error of another kind", async () => {
  const { ask, post, lines } = fakeApp();
  const answers = [
    await post("/tokenize", { content: `${CANARY} text` }),
    await post(`/tokenize?${CANARY}`, { content: CANARY }),
    await post("/apply-template", { messages: [{ role: "user", content: CANARY }] }),
    await post("/v1/embeddings", { input: CANARY }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404]);
  const refused = [
    await post("/tokenize", `{"content": "${CANARY}`),
    await post("/tokenize", `{"content": ${CANARY}}`),
    await post("/tokenize", { content: [CANARY] }),
    await post("/tokenize", { messages: CANARY }),
    await ask(`/${CANARY}`),
    await ask("/version", { headers: { host: CANARY } }),
    await ask("/version", { method: "POST", headers: { origin: `https://${CANARY}` } }),
  ];
  for (const answer of refused) {
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await answer.text()).not.toContain(CANARY);
  }
  const all = lines.join("") + await (await ask("/metrics")).text();
  expect(all).toContain("/tokenize");
  expect(all).not.toContain(CANARY);
});

describe("a failure of the server's own", () => {
  const failing = (error: unknown) =>
    fakeApp({ services: { text: { ...byteText, encode: () => Promise.reject(error) } } });

  test("is generic to its client; the log has where it happened, not what it quotes", async () => {
    const { post, lines } = failing(new TypeError(`cannot read ${CANARY} in /home/me/x`));
    const answer = await post("/tokenize", { content: "a" }, { "x-request-id": "me-2" });
    expect(answer.status).toBe(500);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(answer);
    expect(error).toMatchObject({ type: "server_error", code: "internal_error", param: null });
    expect(error.message).toContain("me-2");
    expect(JSON.stringify(error)).not.toMatch(/canary|\/home|\.ts|0x/);
    expect(lines.map(parse)[0]).toMatchObject({
      ...{ level: "error", request_id: "me-2", error: "TypeError", msg: "request failed" },
    });
    expect(lines[0]).toContain("log.test.ts");
    expect(lines.join("")).not.toContain(CANARY);
  });

  test("that arctic knows is told to the log in full", async () => {
    const { post, lines } = failing(new ArcticError("device_lost", "The device is gone."));
    const answer = await post("/tokenize", { content: "a" });
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await errorOf(answer)).message).not.toContain("device");
    expect(lines.map(parse)[0]).toMatchObject({
      ...{ code: "device_lost", message: "The device is gone." },
    });
  });

  test("that is no error at all is one nevertheless", async () => {
    const { post } = failing("gone");
    expect((await post("/tokenize", { content: "a" })).status).toBe(500);
  });
});
