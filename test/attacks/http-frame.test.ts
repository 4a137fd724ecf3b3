/**
 * Requests that no honest client sends, as bytes on a socket: what they get, that they cost nothing,
 * and that the server answers the next one as if nothing had been.
 */

import { afterAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import process from "node:process";
import { limits } from "../../src/limits.ts";
import { hashKey } from "../../src/server/auth.ts";
import { answers, liveServer, request } from "../server/raw-http.ts";
import { ownTime } from "../support/own-time.ts";
import { until } from "../support/until.ts";

const MiB = 2 ** 20;
const server = liveServer();
const { send } = server;
afterAll(() => server[Symbol.asyncDispose]());

/** The head of a POST of JSON whose body the test writes itself. */
const head = (...headers: string[]) =>
  [
    ...["POST /tokenize HTTP/1.1", "Host: localhost", "Content-Type: application/json"],
    ...[...headers, "", ""],
  ].join("\r\n");
const BODY = '{"content":"ab"}';
const TOKENS = '{"tokens":[256,97,98],"count":3,"max_model_len":4096}';

const statusOf = (raw: string) => answers(raw)[0]?.status;
const errorIn = (raw: string) =>
  (JSON.parse(answers(raw)[0]?.body ?? "null") as { error?: Record<string, unknown> }).error;

async function expectAlive({ send, app } = server): Promise<void> {
  const raw = await send(request("POST /tokenize", { body: BODY }));
  expect(answers(raw)[0]?.body).toBe(TOKENS);
  expect(app.admission.choices).toBe(0);
}

describe("a body that is too large", () => {
  const part = new Uint8Array(MiB).fill(0x61);
  const chunk = Buffer.concat([Buffer.from("100000\r\n"), part, Buffer.from("\r\n")]);
  const lastChunk = "0\r\n\r\n";
  const after = request("GET /version");

  test.each<[string, string[], (Uint8Array | string)[]]>([
    ["told by its length", [`Content-Length: ${64 * MiB}`], [...Array(64).fill(part), after]],
    ["that claims a petabyte", ["Content-Length: 1000000000000000"], [part, after]],
    ["in chunks", ["Transfer-Encoding: chunked"], [...Array(64).fill(chunk), lastChunk, after]],
    ["in chunks without end", ["Transfer-Encoding: chunked"], Array(64).fill(chunk)],
  ])("%s is refused, and its connection closed", async (_, headers, parts) => {
    const before = process.memoryUsage().rss;
    const raw = await send(head(...headers), ...parts);
    expect(answers(raw).map(({ status }) => status)).toEqual([413]);
    expect(errorIn(raw)).toMatchObject({ type: "invalid_request_error", code: null, param: null });
    expect(answers(raw)[0]?.headers.get("connection")).toBe("close");
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * MiB);
    await expectAlive();
  });

  test("is refused one byte past the limit, and taken at it", async () => {
    const small = liveServer({ settings: { bodyBytes: BODY.length } });
    expect(statusOf(await small.send(request("POST /tokenize", { body: BODY })))).toBe(200);
    expect(statusOf(await small.send(request("POST /tokenize", { body: `${BODY} ` })))).toBe(413);
    const chunked = `${BODY.length.toString(16)}\r\n${BODY}\r\n`;
    const sendChunks = (...chunks: string[]) =>
      small.send(head("Transfer-Encoding: chunked", "Connection: close"), ...chunks, "0\r\n\r\n");
    expect(statusOf(await sendChunks(chunked))).toBe(200);
    expect(statusOf(await sendChunks(chunked, "1\r\n \r\n"))).toBe(413);
    await small.listener.drain(0);
  });
});

describe("JSON", () => {
  const nested = (depth: number) => `{"content":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":0`)}}`;

  test.each([
    ["200,000 deep", nested(200_000)],
    ["never closed", `{"content":${"[".repeat(200_000)}`],
    ["of a million keys", keys(1_000_000)],
    ["of three million values", `{"content":[${"0,".repeat(3_000_000)}0]}`],
  ])("%s is refused at once", async (_, body) => {
    const { value, own } = await ownTime(server.post("/tokenize", body));
    expect(value.status).toBe(400);
    expect(own).toBeLessThan(200);
  });

  test.each([
    ...['"str"', "[]", "42", "null", "true", "", " ", "NaN", "{", "{}{}", "{'a':1}", '{"a":NaN}'],
    ...['{"content":"\u0000"}', '{"content":1e999}', "\u00ef\u00bb", "--boundary", "a=b"],
  ])("%j is refused", async (body) => {
    const raw = await send(request("POST /tokenize", { body }));
    expect(statusOf(raw)).toBe(400);
    expect(errorIn(raw)).toMatchObject({ type: "invalid_request_error" });
  });

  test.each<[string, number[]]>([
    ["a lone continuation", [0x80]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["a character cut off", [0xe2, 0x82]],
  ])("with %s is not UTF-8", async (_, bytes) => {
    const body = Buffer.concat([
      Buffer.from('{"content":"'),
      Uint8Array.from(bytes),
      Buffer.from('"}'),
    ]);
    expect(statusOf(await send(head(`Content-Length: ${body.length}`, "Connection: close"), body)))
      .toBe(400);
  });

  test("__proto__ and constructor are keys like any other", async () => {
    const body = '{"content":"ab","__proto__":{"prompt":"x"},"constructor":{"prototype":{"x":1}}}';
    const raw = await send(request("POST /tokenize", { body }));
    expect(answers(raw)[0]?.body).toBe(TOKENS);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});

describe("a body of another kind", () => {
  const typed = (type: string, ...headers: string[]) =>
    [
      ...["POST /tokenize HTTP/1.1", "Host: localhost", "Connection: close", type, ...headers],
      ...[`Content-Length: ${BODY.length}`, "", BODY],
    ].join("\r\n");

  test.each([
    ...["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    ...["application/jsonp", "application/ld+json", "", "json", "text/json", "application/json;x"],
  ])("%p is refused", async (type) => {
    const raw = await send(typed(`Content-Type: ${type}`));
    expect(statusOf(raw)).toBe(415);
    expect(errorIn(raw)).toMatchObject({ type: "invalid_request_error" });
  });

  test.each(["application/json", "Application/JSON; charset=utf-8", "application/json;charset=x"])(
    "%p is taken",
    async (type) => expect(statusOf(await send(typed(`Content-Type: ${type}`)))).toBe(200),
  );

  test.each(["gzip", "identity", "br", "gzip, gzip", "x"])(
    "%s is never inflated",
    async (coding) => {
      const raw = await send(
        typed("Content-Type: application/json", `Content-Encoding: ${coding}`),
      );
      expect(statusOf(raw)).toBe(415);
    },
  );
});

describe("framing", () => {
  test.each<[string, string[], string]>([
    ["a length and chunks", ["Content-Length: 4", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["two lengths", ["Content-Length: 16", "Content-Length: 5"], BODY],
    ["a negative length", ["Content-Length: -1"], BODY],
    ["a length past 2^64", ["Content-Length: 1000000000000000000000"], BODY],
    ["another coding", ["Transfer-Encoding: chunked, identity"], "0\r\n\r\n"],
    ["a chunk size that is none", ["Transfer-Encoding: chunked"], "zz\r\nabc\r\n"],
    ["a chunk size past 2^64", ["Transfer-Encoding: chunked"], "ffffffffffffffffff\r\na\r\n"],
    ["a folded header", ["X-A: a", " b"], ""],
  ])("with %s is refused", async (_, headers, body) => {
    const smuggled = request("GET /version");
    const raw = await send(head(...headers), body + smuggled);
    expect(answers(raw).map(({ status }) => status)).toEqual([400]);
    await expectAlive();
  });

  test.each([
    ["one header of 20 kB", `X-A: ${"a".repeat(20_000)}`],
    ["500 headers", Array(500).fill("X-A: a").join("\r\n")],
  ])("%s is too much", async (_, header) => {
    expect(statusOf(await send(request("GET /version", { headers: [header] })))).toBe(431);
  });

  test("a path of 40 kB is too much", async () => {
    expect(statusOf(await send(request(`GET /${"a".repeat(40_000)}`)))).toBe(431);
  });

  test("half a million chunks of 6 bytes are read, and kept small", async () => {
    const before = process.memoryUsage().rss;
    const raw = await send(
      head("Transfer-Encoding: chunked", "Connection: close"),
      "6\r\naaaaaa\r\n".repeat(500_000) + "0\r\n\r\n",
    );
    expect(statusOf(raw)).toBe(400);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * MiB);
    await expectAlive();
  });

  test("bytes that are no HTTP end the connection, and nothing else", async () => {
    for (const junk of ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "\0\0\0\0", "PRI * HTTP/2.0"]) {
      const raw = await server.sendBriefly(`${junk}\r\n\r\n`);
      expect([undefined, 400, 505]).toContain(statusOf(raw));
    }
    await expectAlive();
  });
});

describe("a body that does not come", () => {
  const impatient = liveServer({ settings: { bodyPeriodMs: 300 } });
  afterAll(() => impatient[Symbol.asyncDispose]());

  test("is given up after a while", async () => {
    const raw = await impatient.send(head("Content-Length: 100"), '{"content":');
    expect(statusOf(raw)).toBe(408);
    await expectAlive(impatient);
  });

  test("does not hold up others", async () => {
    const slow = Array.from(
      { length: 100 },
      () => impatient.send(head("Content-Length: 100"), "{"),
    );
    await expectAlive(impatient);
    const statuses = (await Promise.all(slow)).map(statusOf);
    expect(statuses).toEqual(Array(100).fill(408));
  });

  test("because its client left costs nothing", async () => {
    const lines = server.lines.length;
    await Promise.all(Array.from({ length: 20 }, () =>
      new Promise<void>((resolve) => {
        const socket = Bun.connect({
          hostname: "127.0.0.1",
          port: server.listener.port,
          socket: {
            open: (it) => {
              it.write(head("Content-Length: 100") + "{");
              it.flush();
              setTimeout(() => it.terminate(), 20);
            },
            data() {},
            close: () => resolve(),
          },
        });
        void socket;
      })));
    await expectAlive();
    expect(server.lines.slice(lines).join("")).not.toContain('"level":"error"');
  });
});

describe("one connection", () => {
  test("answers pipelined requests in order, each its own", async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `pipe-${i}`);
    const raw = await send(
      ids.map((id, i) => {
        const headers = [`X-Request-Id: ${id}`];
        if (i % 3 === 0) return request("GET /nothing", { headers, keep: true });
        const body = `{"content":"${"a".repeat(i)}"}`;
        return request("POST /tokenize", { headers, body, keep: i < ids.length - 1 });
      }).join(""),
    );
    const got = answers(raw);
    expect(got.map(({ headers }) => headers.get("x-request-id"))).toEqual(ids);
    for (const [i, { status, body }] of got.entries()) {
      expect(status).toBe(i % 3 === 0 ? 404 : 200);
      if (i % 3 !== 0) expect(JSON.parse(body)).toMatchObject({ count: i + 1 });
    }
  });

  test("goes on after errors", async () => {
    const raw = await send(
      request("POST /tokenize", { body: "{", keep: true }) +
        request("DELETE /version", { keep: true }) +
        request("POST /nothing", { body: BODY, keep: true }) +
        request("POST /tokenize", { body: BODY }),
    );
    expect(answers(raw).map(({ status }) => status)).toEqual([400, 405, 404, 200]);
  });

  test("HEAD has no body", async () => {
    const raw = await send(request("HEAD /version"));
    expect(raw).toEndWith("\r\n\r\n");
    expect(statusOf(raw)).toBe(200);
  });

  test("OPTIONS * and CONNECT open nothing", async () => {
    expect([400, 404, undefined]).toContain(statusOf(await send(request("OPTIONS *"))));
    expect([400, 404, undefined]).toContain(statusOf(await send(request("CONNECT localhost:80"))));
  });
});

describe("names", () => {
  const get = (...hosts: string[]) =>
    send([
      ...["GET /v1/models HTTP/1.1", "Connection: close"],
      ...[...hosts.map((host) => `Host: ${host}`), "", ""],
    ].join("\r\n"));

  test.each([
    [["evil.example"]],
    [["localhost", "evil.example"]],
    [["evil.example", "localhost"]],
    [["localhost", "localhost"]],
    [["localhost.evil.example"]],
    [["localhost@evil.example"]],
    [["169.254.169.254"]],
  ])("%j is refused", async (hosts) => {
    const raw = await get(...hosts);
    expect(statusOf(raw)).toBe(403);
    expect(errorIn(raw)).toMatchObject({ type: "permission_error" });
  });

  test("no name at all is refused", async () => expect(statusOf(await get())).toBe(400));

  test("a name in the request line does not replace the header's", async () => {
    const raw = await send(
      "GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    expect(statusOf(raw)).toBe(403);
  });

  test.each(["localhost:1", "127.0.0.1", "[::1]:9"])("%s is let in", async (host) => {
    expect(statusOf(await get(host))).toBe(200);
  });
});

describe("a request id", () => {
  test.each(["x".repeat(10_000), "a\tb", "a\u0000b", "\u001b[31m", "a b", "'; drop"])(
    "%.20j is replaced",
    async (id) => {
      const raw = await send(request("GET /version", { headers: [`X-Request-Id: ${id}`] }));
      const [answer] = answers(raw);
      if (answer?.status !== 200) expect(answer?.status).toBe(400); // Bun refuses controls itself
      else expect(answer.headers.get("x-request-id")).toMatch(/^req_id\d+$/);
    },
  );

  test("cannot add a header to the answer", async () => {
    const raw = await send(
      request("GET /version", { headers: ["X-Request-Id: a\rSet-Cookie: x=1"] }),
    );
    expect(raw.toLowerCase()).not.toContain("set-cookie");
  });
});

describe("with a key set, over the socket", () => {
  const locked = liveServer({ settings: { keyHashes: [hashKey("sk-attack")] } });
  afterAll(() => locked[Symbol.asyncDispose]());

  test.each([
    ...["//v1//models", "/v1/%2e%2e/version", "/v1/../version", "/V1/Models", "/health/../metrics"],
    ...["/health%2f..%2fmetrics", "/health?/../metrics", "/health#/metrics", "/./metrics"],
    ...["http://localhost/metrics", "/health;/metrics", "/metrics%00", "\\metrics", "/%6detrics"],
  ])("%s tells nothing without it", async (path) => {
    const raw = await locked.send(request(`GET ${path}`));
    // A query or fragment leaves the path /health, which is open and says one word.
    const isHealth = answers(raw)[0]?.body === '{"status":"ok"}';
    if (!isHealth) expect([400, 401]).toContain(statusOf(raw) ?? 0);
  });

  test("a large or endless body is refused before it is read", async () => {
    const start = performance.now();
    const raw = await locked.send(head("Content-Length: 1000", "Connection: close"), "{");
    expect(statusOf(raw)).toBe(401);
    expect(performance.now() - start).toBeLessThan(limits.bodyPeriodMs / 2);
  });

  test("two Authorization headers are none", async () => {
    const raw = await locked.send(
      request("GET /v1/models", {
        headers: ["Authorization: Bearer x", "Authorization: Bearer sk-attack"],
      }),
    );
    expect(statusOf(raw)).toBe(401);
  });
});

test("a storm of requests on few places is turned away, and forgotten", async () => {
  const gate = Promise.withResolvers<void>();
  const { text } = server.services;
  const crowded = liveServer({
    settings: { maxChoices: 4 },
    services: {
      text: text && {
        ...text,
        encode: async (content) => {
          await gate.promise;
          return await text.encode(content);
        },
      },
    },
  });
  let refused = 0;
  const asked = Array.from({ length: 200 }, async () => {
    const answer = await crowded.post("/tokenize", { content: "ab" });
    if (answer.status === 429) refused++;
    return answer;
  });
  await until(() => refused === 196);
  gate.resolve();
  const got = await Promise.all(asked);
  const statuses = got.map(({ status }) => status);
  expect(statuses.filter((status) => status === 200).length).toBe(4);
  expect(statuses.filter((status) => status === 429).length).toBe(196);
  expect(got.find(({ status }) => status === 429)?.headers.get("retry-after")).toBe("1");
  expect(crowded.app.admission.choices).toBe(0);
  await crowded.listener.drain(0);
});

test("the limits that these attacks meet are those of the program", () => {
  expect(limits.bodyBytes).toBeLessThan(64 * MiB);
  expect(limits.requestJsonMembers).toBeLessThan(1_000_000);
  expect(limits.requestJsonCommas).toBeLessThan(3_000_000);
});
