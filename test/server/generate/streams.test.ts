/** Bodies of streams: signs of life, readers that do not read, MessagePack. */

import { expect, test } from "bun:test";
import { unpack } from "msgpackr/unpack";
import { byteStream, streamTiming } from "../../../src/server/generate/byte-stream.ts";
import { sseEncoder } from "../../../src/server/generate/sse.ts";
import type { StreamSource } from "../../../src/server/generate/stream-source.ts";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { CHAT, COMPLETIONS, events, harness, hello } from "./harness.ts";

const timing = { keepAliveMs: 20, unreadMs: 60 };
const never = new AbortController().signal;

function silent(): StreamSource & { readonly left: () => number } {
  let left = 0;
  return {
    id: undefined,
    next: () => new Promise(() => {}),
    leave: () => void left++,
    left: () => left,
  };
}

test("silence is broken by comments", async () => {
  const source = silent();
  const patient = { ...timing, unreadMs: 60_000 };
  const reader = byteStream(source, sseEncoder, never, patient).getReader();
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe(": keep-alive\n");
    expect(performance.now() - start).toBeLessThan(streamTiming.keepAliveMs / 2);
  }
  await reader.cancel();
  expect(source.left()).toBe(1);
});

test("comments end no event: clients of OpenAI's would read one without data", () => {
  const { keepAlive, progress, item } = sseEncoder;
  const parts = [
    ...[item({ type: "done" }, "s-1"), keepAlive(), progress(1, 2)],
    item({ type: "done" }, undefined),
  ];
  expect(parts.map((part) => new TextDecoder().decode(part)).join("")).toBe(
    "id: s-1\ndata: [DONE]\n\n: keep-alive\n: prefill 1/2\ndata: [DONE]\n\n",
  );
});

test("a client that reads nothing is gone after a while, once", async () => {
  const source = silent();
  const reader = byteStream(source, sseEncoder, never, timing).getReader();
  await reader.read();
  await until(() => source.left() > 0);
  expect((await reader.read()).done).toBe(true);
  expect(source.left()).toBe(1);
});

test("an abort leaves the source, and whoever still reads is not kept", async () => {
  const controller = new AbortController();
  const source = silent();
  const reader = byteStream(source, sseEncoder, controller.signal, timing).getReader();
  const pending = reader.read();
  controller.abort();
  expect((await pending).done).toBe(true);
  expect(source.left()).toBe(1);
});

test("a long prefill tells its progress", async () => {
  const h = harness({ answer: spell("a") });
  const comments: string[] = [];
  await events(await h.post(CHAT, { messages: hello, stream: true }), comments);
  expect(comments).toEqual(["prefill 21/21"]);
});

const accept = { accept: "application/msgpack" };

test("a plain answer in MessagePack is the JSON one", async () => {
  const asked = { messages: hello, logprobs: true };
  const response = await harness({ answer: spell("é") }).post(CHAT, asked, { headers: accept });
  expect(response.headers.get("content-type")).toBe("application/msgpack");
  const json = await (await harness({ answer: spell("é") }).post(CHAT, asked)).json();
  const value = unpack(new Uint8Array(await response.arrayBuffer()));
  expect({ ...value, id: "" }).toEqual({ ...json as object, id: "" });
});

test.each([[CHAT, { messages: hello }], [COMPLETIONS, { prompt: "x" }]])(
  "a stream of %s in MessagePack",
  async (path, asked) => {
    const h = harness({ answer: spell("ab") });
    const response = await h.post(path, { ...asked, stream: true }, { headers: accept });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const view = new DataView(bytes.buffer);
    const frames: unknown[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = view.getUint32(at);
      if (size > 0) frames.push(unpack(bytes.subarray(at + 4, at + 4 + size)));
      at += 4 + size;
    }
    expect(frames.at(-1)).toEqual({ done: true });
    const json = await events(await h.post(path, { ...asked, stream: true }));
    const withoutId = (value: unknown) => ({ ...value as object, id: "" });
    expect(frames.slice(0, -1).map(withoutId)).toEqual(
      json.slice(0, -1).map(({ data }) => withoutId(JSON.parse(data))),
    );
  },
);
