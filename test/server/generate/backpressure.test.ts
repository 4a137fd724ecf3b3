/** RELIABILITY row 43: a client that never reads holds its own generation, and nobody else's. */

import { expect, test } from "bun:test";
import { connect } from "node:net";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, harness, hello } from "./harness.ts";

test("over a socket that is never read, the engine is not pulled for ever", async () => {
  const h = harness({ answer: spell("abcdefghij"), endless: true });
  const { url, stop } = h.listen();
  const { port } = new URL(url);
  const body = JSON.stringify({ messages: hello, stream: true, max_tokens: -1 });
  const socket = connect(Number(port), "127.0.0.1");
  socket.pause();
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  let before = -1;
  const isStill = async () => {
    for (let i = 0; i < 100; i++) {
      await Bun.sleep(100);
      if (h.services.engine.generatedTokens === before && before > 0) return true;
      before = h.services.engine.generatedTokens;
    }
    return false;
  };
  expect(await isStill()).toBe(true);
  expect(h.services.engine.active).toBe(1);
  const other = await answerOf(await h.post(CHAT, { messages: hello, max_tokens: 3 }));
  expect(other.choices[0]?.message.content).toBe("abc");
  socket.destroy();
  await until(() => h.services.engine.active === 0 && h.app.admission.choices === 0);
  await stop();
}, 60_000);
