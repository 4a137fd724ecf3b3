/** RELIABILITY rows 44 and 99: clients that leave at any moment, and what is never told. */

import { expect, test } from "bun:test";
import { createApp } from "../../../src/server/app.ts";
import { createLog } from "../../../src/server/log.ts";
import { serverSettings } from "../../../src/server/settings.ts";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { fakeServices } from "../fake-services.ts";
import { CHAT, events, harness, hello } from "./harness.ts";

test.each([
  ["queued", { gate: new Promise<void>(() => {}) }],
  ["in prefill", { prefillMs: 10_000 }],
  ["being answered", { tokenMs: 1 }],
])("100 clients that leave while %s leave nothing behind", async (_, how) => {
  const h = harness({ answer: spell("abc"), endless: true, ...how });
  const { url, stop } = h.listen();
  const ask = async (i: number) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 5 + i % 40);
    const response = await fetch(`${url}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: hello, stream: i % 2 === 0, max_tokens: -1, n: 1 + i % 3 }),
      signal: controller.signal,
    });
    await response.text();
  };
  await Promise.all(Array.from({ length: 100 }, (_, i) => ask(i).catch(() => {})));
  await until(() => h.services.engine.active === 0 && h.app.admission.choices === 0);
  h.services.engine.script = { answer: spell("ok") };
  expect((await h.post(CHAT, { messages: hello })).status).toBe(200);
  await stop();
});

test("neither prompt nor answer nor an error's own words reach the log or the client", async () => {
  const lines: string[] = [];
  const error = new Error("canary-message");
  const services = fakeServices({ answer: spell("canary"), failure: { after: 3, error } });
  const log = createLog({ write: (line) => void lines.push(line) });
  const app = createApp(services, serverSettings({ version: "0.0.0" }), log);
  const response = await app.fetch(
    new Request(`http://127.0.0.1${CHAT}`, {
      method: "POST",
      headers: { "content-type": "application/json", host: "127.0.0.1" },
      body: JSON.stringify({
        messages: [{ role: "user", content: "canary-prompt" }],
        stream: true,
      }),
    }),
  );
  const last = (await events(response)).at(-1)?.data;
  expect(last).toContain("internal_error");
  expect(last).not.toContain("canary");
  await until(() => lines.length === 2);
  expect(lines.join("")).not.toContain("canary");
  expect(lines.map((line) => JSON.parse(line).msg).sort()).toEqual(["request", "request failed"]);
});
