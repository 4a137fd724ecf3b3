/** Streams that outlive their connection, over HTTP: no gap, no repeat, and an end. */

import { describe, expect, test } from "bun:test";
import { unpack } from "msgpackr/unpack";
import { hashKey } from "../../../src/server/auth.ts";
import { until } from "../../support/until.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, events, type Harness, harness, hello } from "./harness.ts";

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

const endless = { answer: spell("a"), endless: true, tokenMs: 1 };
const forEver = { ...body, max_tokens: -1 };
const from = (event: string) => ({ "last-event-id": event });
const isFree = ({ services, app }: Harness) =>
  services.engine.active === 0 && app.admission.choices === 0;

/** Reads `count` events of a stream and goes on reading; its id, and the data of all when it ends. */
async function reading(response: Response, count: number) {
  const reader = response.body?.getReader();
  const seen = Promise.withResolvers<void>();
  let text = "";
  const all = (async () => {
    for (;;) {
      const part = await reader?.read();
      if (!part || part.done) return text;
      text += new TextDecoder().decode(part.value);
      if (text.split("\ndata: ").length > count) seen.resolve();
    }
  })();
  await seen.promise;
  const id = /^id: (\S+)-\d+$/m.exec(text)?.[1] ?? "";
  return { id, all, leave: () => reader?.cancel() };
}

test("HEAD is refused, and whoever reads goes on", async () => {
  const h = harness({ answer: spell(text), tokenMs: 3 }, {}, { resumeSeconds: 60 });
  const { id, all } = await reading(await h.post(CHAT, body), 2);
  for (const headers of [{}, from(`${id}-2`)]) {
    const answer = await h.app.fetch(
      new Request(`http://127.0.0.1/v1/streams/${id}`, {
        ...{ method: "HEAD", headers: { host: "127.0.0.1", ...headers } },
      }),
    );
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
  }
  const other = await h.post(`/v1/streams/${id}`, {});
  expect([other.status, other.headers.get("allow")]).toEqual([405, "GET, OPTIONS"]);
  expect(await all).toEndWith("data: [DONE]\n\n");
});

test("an answer that is never read takes the stream from nobody", async () => {
  const h = harness(endless, {}, { resumeSeconds: 0.2 });
  const { id, leave } = await reading(await h.post(CHAT, forEver), 2);
  expect((await h.get(`/v1/streams/${id}`)).status).toBe(200);
  await Bun.sleep(300);
  expect(h.services.engine.active).toBe(1);
  await leave();
  expect((await h.get(`/v1/streams/${id}`)).status).toBe(200);
  await until(() => isFree(h));
});

test("a stream whose answer is never read ends after its time", async () => {
  const h = harness(endless, {}, { resumeSeconds: 0.1 });
  await h.post(CHAT, forEver);
  expect(h.services.engine.active).toBe(1);
  await until(() => isFree(h));
});

test("who is put out by another reader is told, without an id", async () => {
  const h = harness({ answer: spell(text), tokenMs: 5 }, {}, { resumeSeconds: 60 });
  const first = await reading(await h.post(CHAT, body), 2);
  const rest = await events(await h.get(`/v1/streams/${first.id}`));
  expect(rest.at(-1)?.data).toBe("[DONE]");
  const last = (await first.all).trim().split("\n\n").at(-1) ?? "";
  expect(last).toStartWith("data: ");
  const { error } = JSON.parse(last.slice("data: ".length));
  expect(error).toMatchObject({ type: "invalid_request_error", param: null, code: null });
  expect(error.message).toContain("taken up");
});

test("the path and the header have to name the same stream", async () => {
  const h = harness({ answer: spell(text) }, {}, { resumeSeconds: 60 });
  const [one, two] = [
    idOf((await readUntil(await h.post(CHAT, body), 4))[0]),
    idOf((await readUntil(await h.post(CHAT, body), 4))[0]),
  ];
  expect(one).not.toBe(two);
  const answer = await h.get(`/v1/streams/${one}`, from(`${two}-3`));
  expect(answer.status).toBe(400);
  expect((await answerOf(answer)).error).toMatchObject({ param: "Last-Event-ID" });
  expect((await h.get(`/v1/streams/${one}`, from(`${one}-3`))).status).toBe(200);
});

test("nothing comes after the end: 204, which ends an EventSource", async () => {
  const h = harness({ answer: spell("ab") }, {}, { resumeSeconds: 60 });
  const all = await events(await h.post(CHAT, body));
  const id = idOf(all[0]?.data);
  const last = all.at(-1);
  expect(last).toEqual({ id: `${id}-${all.length}`, data: "[DONE]" });
  const headers = from(`${id}-${all.length}`);
  for (const answer of [h.get(`/v1/streams/${id}`, headers), h.post(CHAT, body, { headers })]) {
    const { status, body } = await answer;
    expect([status, body]).toEqual([204, null]);
  }
  expect(await events(await h.get(`/v1/streams/${id}`, from(`${id}-${all.length - 1}`)))).toEqual([
    { id: `${id}-${all.length}`, data: "[DONE]" },
  ]);
});

test("reading a finished stream again does not keep it", async () => {
  const h = harness({ answer: spell("ab") }, {}, { resumeSeconds: 0.3 });
  const id = idOf((await events(await h.post(CHAT, body)))[0]?.data);
  const start = performance.now();
  await until(async () => {
    const answer = await h.get(`/v1/streams/${id}`);
    await answer.text();
    return answer.status === 404;
  });
  expect(performance.now() - start).toBeGreaterThanOrEqual(250);
});

test.each([["queued", { gate: new Promise<void>(() => {}) }], ["in prefill", {
  prefillMs: 60_000,
}]])("a client that leaves while %s cannot come back, and frees all", async (_, how) => {
  const h = harness({ ...endless, ...how }, {}, { resumeSeconds: 60 });
  const { url, stop } = h.listen();
  for (const after of [20, 1_200]) {
    const controller = new AbortController();
    const asked = fetch(`${url}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(forEver),
      signal: controller.signal,
    }).then((response) => response.text()).catch(() => {});
    await until(() => h.services.engine.active === 1);
    await Bun.sleep(after); // before and after the head is sent
    controller.abort();
    const start = performance.now();
    await until(() => isFree(h));
    expect(performance.now() - start).toBeLessThan(500);
    await asked;
  }
  await stop();
});

test("MessagePack frames count as events do, and can be asked for", async () => {
  const h = harness({ answer: spell("ab") }, {}, { resumeSeconds: 60 });
  const headers = { accept: "application/msgpack" };
  const whole = await h.post(CHAT, { ...body, logprobs: true }, { headers });
  const frames = framesOf(await whole.arrayBuffer());
  const id = (frames[0] as { id: string }).id;
  const rest = await h.get(`/v1/streams/${id}`, { ...headers, ...from(`${id}-1`) });
  expect(framesOf(await rest.arrayBuffer())).toEqual(frames.slice(1));
  expect(frames.at(-1)).toEqual({ done: true });
});

function framesOf(buffer: ArrayBuffer): unknown[] {
  const view = new DataView(buffer);
  const frames: unknown[] = [];
  for (let at = 0; at < buffer.byteLength;) {
    const size = view.getUint32(at);
    if (size > 0) frames.push(unpack(new Uint8Array(buffer, at + 4, size)));
    at += 4 + size;
  }
  return frames;
}

describe("a server that has to do without", () => {
  const settings = { resumeSeconds: 60, maxChoices: 2, maxChoicesPerKey: 2 };
  const left = async (h: Harness, count = 1, headers = {}) =>
    idOf((await readUntil(await h.post(CHAT, { ...forEver, n: count }, { headers }), 2))[0]);
  const status = async (h: Harness, id: string, headers = {}) =>
    (await h.get(`/v1/streams/${id}`, headers)).status;

  test("gives up what was left for longest", async () => {
    const h = harness(endless, {}, settings);
    const [one, two] = [await left(h), await left(h)];
    const answer = await h.post(CHAT, { messages: hello, max_tokens: 1 });
    expect(answer.status).toBe(200);
    expect([await status(h, one), await status(h, two)]).toEqual([404, 200]);
    expect(h.app.admission.choices).toBe(1);
  });

  test("gives up nothing that is read, and nothing in vain", async () => {
    const h = harness(endless, {}, settings);
    const read = await reading(await h.post(CHAT, forEver), 2);
    const gone = await left(h);
    const refused = await h.post(CHAT, { messages: hello, n: 2 });
    expect(refused.status).toBe(429);
    expect(await status(h, gone)).toBe(200);
    expect(await status(h, read.id)).toBe(200);
    await read.leave();
  });

  test("gives up a key's own streams for the key's bound", async () => {
    const keyHashes = [hashKey("one"), hashKey("two")];
    const h = harness(endless, {}, { ...settings, maxChoices: 9, keyHashes });
    const as = (key: string) => ({ authorization: `Bearer ${key}` });
    const other = await left(h, 2, as("two"));
    const own = await left(h, 2, as("one"));
    const answer = await h.post(CHAT, { messages: hello, max_tokens: 1 }, { headers: as("one") });
    expect(answer.status).toBe(200);
    expect(await status(h, own, as("one"))).toBe(404);
    expect(await status(h, other, as("two"))).toBe(200);
  });
});
