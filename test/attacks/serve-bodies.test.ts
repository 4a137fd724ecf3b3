/** RELIABILITY rows 26, 35, 36, 38 and 41 on the compiled program: bodies that are to wear it down. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { probeHealth, residentBytes } from "../clients/probe.ts";
import { MODEL, question, type ServedProcess, startServer } from "../clients/server.ts";

setDefaultTimeout(60_000);

const MiB = 1024 * 1024;
const CHAT = "/v1/chat/completions";

let server: ServedProcess;
beforeAll(async () => {
  server = await startServer({ args: ["--log-level=warn"] });
  // What the first request of a kind costs once is not what these tests are about.
  await post(JSON.stringify({ model: MODEL, messages: question("x ".repeat(20_000)) }));
});
afterAll(() => server[Symbol.asyncDispose]());

async function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const response = await fetch(`${server.url}${CHAT}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  const { error } = await response.json() as { error?: { message: string; code: string | null } };
  return { status: response.status, error };
}

/** Writes parts and an end until the server answers or closes, and gives what it said. */
function exchange(head: string, part: string, parts: number, end = ""): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(server.port, "127.0.0.1");
  let answer = "";
  let sent = 0;
  const send = () => {
    while (sent < parts && answer === "" && socket.writable) {
      sent++;
      if (!socket.write(sent < parts ? part : part + end)) return;
    }
  };
  socket.on("data", (data) => {
    answer += data.toString("latin1");
    socket.destroy();
  });
  socket.on("drain", send);
  socket.on("error", () => socket.destroy()); // a reset is an end like any other
  socket.on("close", () => resolve(answer));
  socket.write(head);
  send();
  return promise;
}

test.each([
  ["a", "a".repeat(1e6)],
  ["^", "^".repeat(1e6)],
  ["an emoji", "😀".repeat(1e6)],
  ["words", "orders and customers ".repeat(50_000)],
])("a million times %s is read in time, and nobody waits for it", async (_, content) => {
  const body = JSON.stringify({ model: MODEL, messages: question(content) });
  const probe = probeHealth(server);
  const start = performance.now();
  const { status, error } = await post(body);
  const took = performance.now() - start;
  const { own, count } = await probe.stop();
  expect([status, error?.code]).toEqual([400, "context_length_exceeded"]);
  expect(took).toBeLessThan(10_000);
  expect(count).toBeGreaterThan(5);
  expect(own.p50).toBeLessThan(10);
  expect(own.worst).toBeLessThan(100);
});

test("64 MB, told or in chunks, are refused without being kept", async () => {
  const host = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n";
  const part = "x".repeat(MiB);
  const before = residentBytes(server.pid);
  // Who is told the length need not read any of it.
  const told = await exchange(
    `POST ${CHAT} HTTP/1.1\r\n${host}Content-Length: ${64 * MiB}\r\n\r\n`,
    part,
    0,
  );
  expect(told).toStartWith("HTTP/1.1 413 ");
  const chunked = await exchange(
    `POST ${CHAT} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`,
    `100000\r\n${part}\r\n`,
    64,
  );
  expect(chunked).toStartWith("HTTP/1.1 413 ");
  expect(residentBytes(server.pid) - before).toBeLessThan(128 * MiB);
});

test("half a million chunks of 6 bytes hold nobody up", async () => {
  const probe = probeHealth(server);
  const answer = await exchange(
    `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n` +
      "Transfer-Encoding: chunked\r\n\r\n",
    "1\r\n[\r\n".repeat(5_000),
    100,
    "0\r\n\r\n",
  );
  const { own } = await probe.stop();
  expect(answer).toStartWith("HTTP/1.1 400 ");
  expect(own.p99).toBeLessThan(50);
});

test.each([
  ["200,000 arrays in each other", "[".repeat(200_000) + "]".repeat(200_000), 100],
  ["a million keys", `{${Array.from({ length: 1e6 }, (_, i) => `"${i}":0`).join(",")}}`, 100],
  ["two million ids", `{"prompt":[${"1,".repeat(2e6)}1]}`, 100],
  // To parse it takes one turn of the event loop, of 30 to 70 ms.
  ["32 MB of nothing", `{"messages":[]${" ".repeat(31e6)}}`, 250],
])("%s are refused at once", async (_, body, worst) => {
  const probe = probeHealth(server);
  const { status } = await post(body);
  const { own } = await probe.stop();
  expect(status).toBe(400);
  expect(own.worst).toBeLessThan(worst);
});

test("a gzip bomb is not opened", async () => {
  const bomb = Bun.gzipSync(new Uint8Array(200 * MiB));
  const before = residentBytes(server.pid);
  const { status } = await post(bomb, { "content-encoding": "gzip" });
  expect(status).toBe(415);
  expect(residentBytes(server.pid) - before).toBeLessThan(64 * MiB);
});

test("after all of that it answers", async () => {
  const { status } = await post(JSON.stringify({ model: MODEL, messages: question() }));
  expect(status).toBe(200);
  await server.metricIs("arctic:num_requests_running", 0);
  expect(server.stderr()).not.toContain('"level":"error"');
});
