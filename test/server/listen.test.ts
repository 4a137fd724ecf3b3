/** The socket: binding, changing what answers, and the end. */

import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defined } from "../../src/assert.ts";
import { ArcticError } from "../../src/errors.ts";
import { createWaitingApp } from "../../src/server/app.ts";
import { listen } from "../../src/server/listen.ts";
import { createLog } from "../../src/server/log.ts";
import { fakeApp } from "./fake-app.ts";
import { spell } from "./fake-engine.ts";
import { byteText } from "./fake-services.ts";
import { liveServer } from "./raw-http.ts";

const silent = createLog({ write() {} });

function refusal(work: () => unknown): ArcticError {
  try {
    work();
  } catch (error) {
    if (error instanceof ArcticError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("a taken port is one sentence and exit code 1", async () => {
  await using server = liveServer();
  const { app, settings } = fakeApp({ settings: { port: server.listener.port } });
  const error = refusal(() => listen(app, settings, silent));
  expect(error).toMatchObject({ code: "usage_port_taken", exit: 1 });
  expect(error.message).toContain(String(server.listener.port));
});

test("an address of another machine is refused", () => {
  const { app, settings } = fakeApp({ settings: { host: "192.0.2.1" } });
  expect(refusal(() => listen(app, settings, silent))).toMatchObject({ exit: 1 });
});

test("probes are answered while the model is loading, and the model's routes after", async () => {
  const { app, settings, services } = fakeApp();
  const waiting = createWaitingApp(settings, { ...services, log: silent });
  const listener = listen(waiting, settings, silent);
  const status = async (path: string) => (await fetch(listener.url + path)).status;
  expect(await status("/ready")).toBe(503);
  expect(await status("/v1/models")).toBe(503);
  listener.use(app);
  expect(await status("/ready")).toBe(200);
  expect(await status("/v1/models")).toBe(200);
  expect(await listener.drain(5)).toBe(true);
});

describe("draining", () => {
  /** A server on which one request is held until `finish` is called. */
  async function busy() {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const server = liveServer({
      services: {
        text: {
          ...byteText,
          encode: async () => {
            begun.resolve();
            await gate.promise;
            return [1];
          },
        },
      },
    });
    const { url } = server.listener;
    const answer = fetch(`${url}/tokenize`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"content":"a"}',
    }).then((answer) => answer.status, () => "cut" as const);
    await begun.promise;
    return { server, url, answer, finish: () => gate.resolve() };
  }

  test("lets what runs end, and takes nothing new", async () => {
    const { server, url, answer, finish } = await busy();
    const drained = server.listener.drain(10);
    expect(await fetch(url).then(() => "answered", () => "refused")).toBe("refused");
    finish();
    expect(await answer).toBe(200);
    expect(await drained).toBe(true);
  });

  test("waits for no client that is gone, for it cannot come back", async () => {
    const server = liveServer({
      script: { answer: spell("a"), endless: true, tokenMs: 1 },
      settings: { resumeSeconds: 60 },
    });
    const begin = async () => {
      const answer = await fetch(`${server.listener.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          messages: [{ role: "user", content: "Hi" }],
          stream: true,
          max_tokens: -1,
        }),
      });
      const reader = defined(answer.body, "a body").getReader();
      await reader.read();
      await reader.read();
      return reader;
    };
    const { admission } = server.app;
    const [one, two] = [await begin(), await begin()];
    await one.cancel();
    await Bun.sleep(50);
    expect(admission.choices).toBe(2);
    const start = performance.now();
    const drained = server.listener.drain(10);
    expect(admission.choices).toBe(1);
    expect((await two.read()).done).toBe(false);
    await two.cancel();
    expect(await drained).toBe(true);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test("ends what goes on for too long, after telling it", async () => {
    const { server, answer } = await busy();
    const told = Promise.withResolvers<unknown>();
    const { stopped } = server.app.admission;
    stopped.addEventListener("abort", () => told.resolve(stopped.reason));
    expect(await server.listener.drain(0.05)).toBe(false);
    expect(await told.promise).toMatchObject({ status: 503, code: "not_ready" });
    expect(await answer).toBe("cut");
  });
});

test("what fails outside any route is a plain 500", async () => {
  const { app, settings } = fakeApp();
  const lines: string[] = [];
  const broken = {
    ...app,
    fetch: () => {
      throw new Error("canary-5c1e");
    },
  };
  const log = createLog({ write: (line) => void lines.push(line) });
  const listener = listen(broken, settings, log);
  const answer = await fetch(listener.url);
  expect(answer.status).toBe(500);
  const text = await answer.text();
  expect(JSON.parse(text)).toMatchObject({ error: { type: "server_error" } });
  expect(text + lines.join("")).not.toContain("canary");
  expect(lines.join("")).toContain("listen.test.ts");
  await listener.drain(0);
});

describe("TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "arctic-tls-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
  ]);
  const hasOpenssl = made.status === 0;
  if (!hasOpenssl) console.warn("Skipped: openssl is missing, so there is no certificate to try.");

  test.skipIf(!hasOpenssl)("answers over it", async () => {
    const tls = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
    const { app, settings } = fakeApp({ settings: { tls } });
    const listener = listen(app, settings, silent);
    expect(listener.url).toStartWith("https://");
    const answer = await fetch(`${listener.url}/health`, { tls: { ca: tls.cert } });
    expect(answer.status).toBe(200);
    await listener.drain(0);
  });

  test("with a bad certificate is one sentence and exit code 1", () => {
    const { app, settings } = fakeApp({ settings: { tls: { key: "x", cert: "y" } } });
    expect(refusal(() => listen(app, settings, silent))).toMatchObject({
      ...{ code: "usage_tls", exit: 1 },
    });
  });
});
