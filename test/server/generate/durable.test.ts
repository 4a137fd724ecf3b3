/** Streams that outlive their connection: no gap, no repeat, and an end. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { hashKey } from "../../../src/server/auth.ts";
import { DurableStream, parseEventId } from "../../../src/server/generate/durable.ts";
import type { StreamItem } from "../../../src/server/generate/stream-item.ts";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { CHAT, events, harness, hello } from "./harness.ts";

const body = { messages: hello, stream: true };
const text = "The quick brown fox";

/** Reads until an answer's event `number`, then leaves; the data of what was read. */
async function readUntil(response: Response, number: number): Promise<string[]> {
  const reader = response.body?.getReader();
  const data: string[] = [];
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) break;
    const frame = new TextDecoder().decode(part.value);
    const id = /^id: (\S+)-(\d+)$/m.exec(frame);
    const line = /^data: (.*)$/m.exec(frame)?.[1];
    if (line !== undefined) data.push(line);
    if (Number(id?.[2]) === number) break;
  }
  await reader?.cancel();
  return data;
}

const idOf = (chunk: string | undefined): string => JSON.parse(chunk ?? "{}").id;

test("a client that comes back gets the rest, once", async () => {
  const h = harness({ answer: spell(text), tokenMs: 1 }, {}, { resumeSeconds: 60 });
  for (const way of ["POST", "GET"]) {
    const first = await readUntil(await h.post(CHAT, body), 4);
    const id = idOf(first[0]);
    await Bun.sleep(10);
    const headers = { "last-event-id": `${id}-4` };
    const rest = await events(
      way === "POST"
        ? await h.post(CHAT, body, { headers })
        : await h.get(`/v1/streams/${id}`, headers),
    );
    const all = [...first, ...rest.map(({ data }) => data)];
    expect(all.at(-1)).toBe("[DONE]");
    expect(rest[0]?.id).toBe(`${id}-5`);
    const said = all.slice(0, -1).map((data) => JSON.parse(data).choices[0].delta.content ?? "");
    expect(said.join("")).toBe(text);
  }
  expect(h.services.engine.requests.length).toBe(2);
  expect(h.app.admission.choices).toBe(0);
});

test("only events that can be asked for again have ids", async () => {
  const asked = { ...body, n: 2 };
  const kept = await (await harness({ answer: spell("ab") }, {}, { resumeSeconds: 5 })
    .post(CHAT, asked)).text();
  const gone = await (await harness({ answer: spell("ab") }).post(CHAT, asked)).text();
  expect(gone).not.toMatch(/^id:/m);
  expect(kept.match(/^id: /gm)?.length).toBe(kept.match(/^data: /gm)?.length ?? 0);
  for (const answer of [kept, gone]) {
    const records = answer.split("\n\n");
    expect(records.pop()).toBe("");
    for (const record of records) expect(record).toMatch(/^data: /m);
  }
});

test("without a time to come back, leaving ends the generation", async () => {
  const h = harness({ answer: spell(text), tokenMs: 5 });
  const [chunk] = await readUntil(await h.post(CHAT, body), 2);
  await until(() => h.services.engine.active === 0);
  const headers = { "last-event-id": `${idOf(chunk)}-2` };
  expect((await h.post(CHAT, body, { headers })).status).toBe(404);
});

test("after its time a stream is ended and gone", async () => {
  const h = harness({ answer: spell("a"), endless: true, tokenMs: 1 }, {}, { resumeSeconds: 0.2 });
  const response = await h.post(CHAT, { ...body, max_tokens: -1 });
  const start = performance.now();
  const [chunk] = await readUntil(response, 2);
  await until(() => h.services.engine.active === 0 && h.app.admission.choices === 0);
  expect(performance.now() - start).toBeGreaterThanOrEqual(200);
  expect((await h.get(`/v1/streams/${idOf(chunk)}`)).status).toBe(404);
});

test("another key gets nothing", async () => {
  const keyHashes = [hashKey("one"), hashKey("two")];
  const h = harness({ answer: spell(text) }, {}, { resumeSeconds: 60, keyHashes });
  const as = (key: string) => ({ authorization: `Bearer ${key}` });
  const [chunk] = await readUntil(await h.post(CHAT, body, { headers: as("one") }), 2);
  const path = `/v1/streams/${idOf(chunk)}`;
  expect((await h.get(path, as("two"))).status).toBe(404);
  expect((await h.get(path, as("one"))).status).toBe(200);
});

test.each(["nonsense", "chatcmpl-id1", "a b-3", "-4"])("a malformed id: %s", async (header) => {
  const h = harness(undefined, {}, { resumeSeconds: 1 });
  const headers = { "last-event-id": header };
  const { status } = await h.post(CHAT, body, { headers });
  expect(status).toBe(400);
});

test("an id is the stream's and a number", () => {
  expect(parseEventId("chatcmpl-a-12")).toEqual({ id: "chatcmpl-a", number: 12 });
});

/** Counts up for as long as it is pulled. */
function counter() {
  const pulled = { count: 0 };
  async function* items(): AsyncGenerator<StreamItem, void, undefined> {
    for (;;) {
      await Promise.resolve();
      pulled.count++;
      yield { type: "chunk", value: { n: pulled.count } };
    }
  }
  return { pulled, items: items() };
}

function stream(keptEvents: number) {
  const { pulled, items } = counter();
  const durable = new DurableStream({
    ...{ id: "s", items, events: keptEvents, waitMs: 10_000 },
    cancel: () => {},
    dropped: () => {},
  });
  return { durable, pulled };
}

test("a stream that nobody reads is pulled until half of what it keeps was given to nobody", async () => {
  const { durable, pulled } = stream(16);
  const reader = durable.read(0);
  for (let i = 0; i < 10; i++) await reader.next();
  reader.leave();
  await Bun.sleep(5);
  expect(pulled.count).toBe(18);
  const again = durable.read(3);
  expect(await again.next()).toMatchObject({ number: 4 });
  expect(() => durable.read(1)).toThrow();
  expect(() => durable.read(19)).toThrow();
  durable.drop();
});

test("a new reader takes over", async () => {
  const { durable } = stream(16);
  const old = durable.read(0);
  expect(await old.next()).toMatchObject({ number: 1 });
  const next = durable.read(1);
  expect(await old.next()).toBeUndefined();
  old.leave();
  expect(await next.next()).toMatchObject({ number: 2 });
  durable.drop();
});

test("whenever readers leave and come back, each sees every event after its last", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ reads: fc.nat(12), lost: fc.nat(5) }), { maxLength: 8 }),
      async (visits) => {
        const { durable } = stream(32);
        let last = 0;
        for (const { reads, lost } of visits) {
          last = Math.max(0, last - lost); // what the connection swallowed
          const reader = durable.read(last);
          for (let i = 0; i < reads; i++) {
            expect(await reader.next()).toMatchObject({
              number: ++last,
              item: { value: { n: last } },
            });
          }
          reader.leave();
          await Bun.sleep(0);
        }
        durable.drop();
      },
    ),
    { numRuns: 50 },
  );
});
