/** RELIABILITY row 43: a client that never reads holds its own generation, and nobody else's. */

import { expect, test } from "bun:test";
import { connect } from "node:net";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, events, type Harness, harness, hello } from "./harness.ts";

/** A socket on which one endless stream is asked for. */
function ask(url: string) {
  const { port } = new URL(url);
  const body = JSON.stringify({ messages: hello, stream: true, max_tokens: -1 });
  const socket = connect(Number(port), "127.0.0.1");
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

/** Whether the engine comes to rest. */
async function isStill({ services }: Harness): Promise<boolean> {
  let before = -1;
  for (let i = 0; i < 100; i++) {
    await Bun.sleep(100);
    if (services.engine.generatedTokens === before && before > 0) return true;
    before = services.engine.generatedTokens;
  }
  return false;
}

test("over a socket that is never read, the engine is not pulled for ever", async () => {
  const h = harness({ answer: spell("abcdefghij"), endless: true });
  const { url, stop } = h.listen();
  const socket = ask(url);
  socket.pause();
  expect(await isStill(h)).toBe(true);
  expect(h.services.engine.active).toBe(1);
  const other = await answerOf(await h.post(CHAT, { messages: hello, max_tokens: 3 }));
  expect(other.choices[0]?.message.content).toBe("abc");
  socket.destroy();
  await until(() => h.services.engine.active === 0 && h.app.admission.choices === 0);
  await stop();
}, 60_000);

test("what a connection has swallowed when it dies can be asked for again", async () => {
  const count = 5_000; // far less than the buffers of a connection hold
  const script = { answer: spell("abcde".repeat(count / 5)) };
  const h = harness(script, {}, { resumeSeconds: 60 });
  const { url, stop } = h.listen();
  const socket = ask(url);
  const seen = Promise.withResolvers<string>();
  socket.once("data", (data) => {
    socket.pause();
    seen.resolve(/^id: (\S+)$/m.exec(data.toString("latin1"))?.[1] ?? "");
  });
  const id = await seen.promise;
  expect(id).toEndWith("-1");
  await until(() => h.app.admission.choices === 0);
  socket.destroy();
  const path = `/v1/streams/${id.slice(0, -2)}`;
  const rest = await events(await h.get(path, { "last-event-id": id }));
  // The role before the text; the reason and the end after it.
  expect(rest.map((event) => event.id)).toEqual(
    Array.from({ length: count + 2 }, (_, i) => `${id.slice(0, -1)}${i + 2}`),
  );
  expect(rest.at(-1)?.data).toBe("[DONE]");
  await stop();
}, 60_000);
