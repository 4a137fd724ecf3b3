import { describe, expect, test } from "bun:test";
import { hostName, hostPolicy } from "../../src/server/guard.ts";
import { errorOf, fakeApp } from "./fake-app.ts";

test.each([
  ["localhost", "localhost"],
  ["LocalHost:8080", "localhost"],
  ["127.0.0.1:1", "127.0.0.1"],
  ["[::1]:8080", "::1"],
  ["a-b.example_c", "a-b.example_c"],
  ["", undefined],
  ["localhost, evil.example", undefined],
  ["user@localhost", undefined],
  ["localhost:80:80", undefined],
  ["localhost:", undefined],
  ["localhost:123456", undefined],
  ["[::1", undefined],
  ["::1", undefined],
  ["localhost\u0000", undefined],
])("the Host header %p names %p", (header, name) => expect(hostName(header)).toBe(name));

describe("names that are let in", () => {
  const onLoopback = hostPolicy({ host: "127.0.0.1", allowedHosts: ["Chat.Example"] });
  const onAll = hostPolicy({ host: "0.0.0.0", allowedHosts: [] });
  test.each([
    [onLoopback, "localhost", true],
    [onLoopback, "::1", true],
    [onLoopback, "chat.example", true],
    [onLoopback, "evil.example", false],
    [onLoopback, "192.168.1.5", false],
    [onLoopback, "x.localhost", false],
    [onAll, "192.168.1.5", true],
    [onAll, "fe80::1", true],
    [onAll, "rebound.example", false],
    [onAll, "1.2.3.4.example", false],
  ])("%#: %s %p", (policy, name, isLetIn) => expect(policy(name)).toBe(isLetIn));
});

describe("the Origin header", () => {
  const { ask } = fakeApp();
  const post = (origin: string, host = "localhost:8080") =>
    ask("/tokenize", {
      method: "POST",
      body: JSON.stringify({ content: "a" }),
      headers: { host, origin, "content-type": "application/json" },
    });

  test.each([
    ...["https://evil.example", "null", "http://localhost:9999", "http://localhost"],
    ...["file://", "localhost:8080", "http://localhost:8080@evil.example", "http://"],
    ...["http://localhost:8080/", "chrome-extension://localhost:8080", ""],
  ])("%p is refused", async (origin) => {
    const answer = await post(origin);
    expect(answer.status).toBe(403);
    expect((await errorOf(answer)).type).toBe("permission_error");
  });

  test("of the server's own page is let in", async () => {
    expect((await post("http://localhost:8080")).status).toBe(200);
    expect((await post("https://127.0.0.1", "127.0.0.1")).status).toBe(200);
  });

  test("does not matter to reading, and is never answered with CORS headers", async () => {
    for (const origin of ["https://evil.example", "null", "http://localhost"]) {
      const answer = await ask("/v1/models", { headers: { origin } });
      expect(answer.status).toBe(200);
      const cors = [...answer.headers.keys()].filter((name) => name.startsWith("access-control"));
      expect(cors).toEqual([]);
    }
  });

  test("of a preflight from elsewhere is refused", async () => {
    const answer = await ask("/v1/chat/completions", {
      method: "OPTIONS",
      headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
    });
    expect(answer.status).toBe(403);
    expect(answer.headers.has("access-control-allow-origin")).toBe(false);
  });
});

test("a foreign Host is refused on every route", async () => {
  const { ask, app } = fakeApp();
  for (const path of [...app.routes.keys(), "/nothing"]) {
    const answer = await ask(path, { headers: { host: "evil.example" } });
    expect([path, answer.status]).toEqual([path, 403]);
  }
});
