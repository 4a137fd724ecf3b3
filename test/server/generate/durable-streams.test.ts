/** What is kept of streams for readers who come back: how much, for whom, and what goes first. */

import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../../src/limits.ts";
import {
  type DurableLimits,
  DurableStreams,
  parseEventId,
} from "../../../src/server/generate/durable-streams.ts";
import type { StreamItem } from "../../../src/server/generate/stream-item.ts";
import type { Numbered, StreamSource } from "../../../src/server/generate/stream-source.ts";

const KEY = "key";
/** What keeping one of the chunks below takes. */
const SIZE = limits.resumeEventBytes + 100;
const roomy: DurableLimits = {
  ...{ streams: 8, bytes: 1_000 * SIZE, givenBytes: 20 * SIZE, aheadBytes: 10 * SIZE },
};

const made: DurableStreams[] = [];
afterEach(() => {
  for (const streams of made.splice(0)) streams.end();
});

/** Streams that count: endless ones, or of `count` chunks and an end. */
function counters(given: Partial<DurableLimits> = {}, waitMs = 60_000) {
  const streams = new DurableStreams({ ...roomy, ...given });
  made.push(streams);
  const pulled = new Map<string, number>();
  async function* items(id: string, count: number): AsyncGenerator<StreamItem, void, undefined> {
    for (let n = 1; n <= count; n++) {
      await Promise.resolve();
      pulled.set(id, n);
      yield { type: "chunk", value: chunk(n) };
    }
    yield { type: "done" };
  }
  const open = (id: string, count = Infinity) =>
    streams.open({
      ...{ id, items: items(id, count), cancel() {}, waitMs, keyIdentity: KEY, choices: 1 },
    });
  const begin = (id: string, count = Infinity) => present(open(id, count));
  const resume = (id: string, after: number) => present(streams.resume(id, after, KEY));
  return { streams, pulled, open, begin, resume };
}

/** As JSON it has 100 bytes. */
function chunk(n: number): object {
  const empty = JSON.stringify({ n, fill: "" }).length;
  return { n, fill: "x".repeat(100 - empty) };
}

function present(source: StreamSource | undefined): StreamSource {
  if (!source) throw new Error("there is no reader");
  return source;
}

function told(given: Numbered | undefined): unknown {
  if (given?.item.type !== "json") return given?.item.type;
  return JSON.parse(new TextDecoder().decode(given.item.bytes)).n;
}

/** Reads `count` events, which are to be those after `after`. */
async function read(source: StreamSource, count: number, after = 0): Promise<void> {
  for (let number = after + 1; number <= after + count; number++) {
    const given = await source.next();
    expect([given?.number, told(given)]).toEqual([number, number]);
  }
}

async function toEnd(source: StreamSource): Promise<unknown> {
  let last: Numbered | undefined;
  for (let next = await source.next(); next; next = await source.next()) last = next;
  source.leave();
  return told(last);
}

function isKept(streams: DurableStreams, id: string): boolean {
  try {
    streams.resume(id, 1, KEY)?.leave();
    return true;
  } catch {
    return false;
  }
}

interface Visit {
  readonly name: string;
  source: StreamSource;
  last: number;
  isGone: boolean;
}

const settled = () => Bun.sleep(5);

test("an id is the stream's and a number", () => {
  expect(parseEventId("chatcmpl-a-12")).toEqual({ id: "chatcmpl-a", number: 12 });
});

describe("one stream", () => {
  test("keeps so many bytes of what was given, and generates so many for nobody", async () => {
    const { streams, pulled, begin, resume } = counters();
    const reader = begin("s");
    await read(reader, 50);
    expect(streams.bytes).toBe(20 * SIZE);
    reader.leave();
    await settled();
    expect(pulled.get("s")).toBe(60);
    expect(streams.bytes).toBe(30 * SIZE);
    await read(resume("s", 30), 40, 30);
    expect(streams.bytes).toBe(20 * SIZE);
  });

  test("keeps thousands of small events that a connection may have swallowed", async () => {
    const { resumeGivenBytes: givenBytes, resumeAheadBytes: aheadBytes } = limits;
    const bytes = limits.resumeBytes;
    const { begin, resume } = counters({ bytes, givenBytes, aheadBytes });
    const reader = begin("s");
    await read(reader, 15_000);
    reader.leave();
    await read(resume("s", 20), 15_000, 20);
  });

  test("says which events can be asked for", async () => {
    const { streams, begin, resume } = counters();
    const reader = begin("s");
    await read(reader, 50);
    expect(() => resume("s", 0)).toThrow("up to number 30 are no longer kept");
    expect(() => resume("s", 29)).toThrow("Last-Event-ID: s-30");
    expect(() => resume("s", 51)).toThrow("Its last one so far is s-50");
    expect(() => streams.resume("s", 40, "another")).toThrow("no such stream");
    expect(() => streams.resume("t", 40, KEY)).toThrow("no such stream");
    await read(resume("s", 30), 1, 30);
  });

  test("is taken over by who asks for its next event, and tells whom it left", async () => {
    const { begin, resume } = counters();
    const old = begin("s");
    await read(old, 5);
    const next = resume("s", 2);
    await read(old, 1, 5);
    await read(next, 2, 2);
    const given = await old.next();
    expect(given).toMatchObject({ number: undefined, item: { type: "error" } });
    expect(await old.next()).toBeUndefined();
    old.leave();
    await read(next, 4, 4);
  });

  test("tells who asks too late which events there are", async () => {
    const { begin, resume } = counters();
    const first = begin("a");
    await read(first, 30);
    const late = resume("a", 15);
    await read(first, 30, 30);
    expect((await late.next())?.item).toMatchObject({
      type: "error",
      error: { message: expect.stringMatching(/no longer kept\..* Last-Event-ID: a-\d+$/s) },
    });
    await read(first, 1, 60);
  });

  test("tells whom it left at once, though nothing new comes", async () => {
    const { streams } = counters();
    async function* items(): AsyncGenerator<StreamItem, void, undefined> {
      yield { type: "chunk", value: chunk(1) };
      await new Promise(() => {});
    }
    const options = { id: "s", items: items(), cancel() {}, waitMs: 60_000 };
    const old = present(streams.open({ ...options, keyIdentity: KEY, choices: 1 }));
    await read(old, 1);
    const pending = old.next();
    void present(streams.resume("s", 0, KEY)).next();
    expect(told(await pending)).toBe("error");
  });

  test("never drops what its reader has still to be given", async () => {
    const { begin, resume } = counters({ givenBytes: 2 * SIZE, aheadBytes: 30 * SIZE });
    const reader = begin("s");
    await read(reader, 5);
    reader.leave();
    await settled();
    for (let after = 3; after < 30; after++) {
      const again = resume("s", after);
      await read(again, 2, after);
      again.leave();
      await settled();
    }
  });

  test("a failure that its items do not tell is an error event", async () => {
    const { streams } = counters();
    const items = (async function* (): AsyncGenerator<StreamItem, void, undefined> {
      yield { type: "chunk", value: chunk(1) };
      await Promise.resolve();
      throw new Error("canary");
    })();
    const options = { id: "s", items, cancel() {}, waitMs: 60_000, keyIdentity: KEY, choices: 1 };
    const reader = present(streams.open(options));
    await read(reader, 1);
    const given = await reader.next();
    expect(given?.item.type).toBe("error");
    expect(JSON.stringify(given)).not.toContain("canary");
  });

  test("is gone at once when its first reader leaves without an event", async () => {
    const { streams, begin } = counters();
    begin("never read").leave();
    const reader = begin("waiting");
    const pending = reader.next();
    reader.leave();
    await pending;
    expect(streams.size).toBe(0);
  });
});

describe("all streams", () => {
  test("at most so many: a finished one that nobody reads goes, the oldest first", async () => {
    const { streams, open, begin, resume } = counters({ streams: 3 });
    for (const id of ["a", "b"]) expect(await toEnd(begin(id, 5))).toBe("done");
    await read(begin("endless"), 1);
    const slow = resume("a", 0);
    await read(slow, 2);
    await read(begin("c"), 1);
    expect([isKept(streams, "a"), isKept(streams, "b")]).toEqual([true, false]);
    expect(open("d")).toBeUndefined();
    await read(slow, 3, 2);
    expect(await toEnd(slow)).toBe("done");
  });

  test("within their bytes: finished ones go first, then those that were left for longest", async () => {
    const { streams, begin } = counters({ bytes: 100 * SIZE });
    await toEnd(begin("finished", 20));
    const [one, two] = [begin("one"), begin("two")];
    for (const reader of [one, two]) await read(reader, 20);
    two.leave();
    one.leave();
    await settled();
    const kept = [];
    for (const id of ["a", "b", "c", "d"]) {
      await read(begin(id), 20);
      kept.push(["finished", "one", "two"].filter((id) => isKept(streams, id)));
    }
    expect(kept).toEqual([["finished", "one", "two"], ["one", "two"], ["one"], []]);
    expect(streams.bytes).toBe(80 * SIZE);
  });

  test("within their bytes where all are read: the heaviest keeps less, and nobody misses an event", async () => {
    const { streams, begin, resume } = counters({ bytes: 40 * SIZE });
    const readers = Array.from({ length: 4 }, (_, i) => begin(`s${i}`));
    for (let after = 0; after < 60; after += 10) {
      for (const reader of readers) {
        await read(reader, 10, after);
        expect(streams.bytes).toBeLessThanOrEqual(40 * SIZE);
      }
    }
    expect(streams.size).toBe(4);
    await read(resume("s3", 58), 2, 58);
  });

  test("the sum of bytes is right, and every reader sees each event or is told", async () => {
    const act = fc.record({
      id: fc.nat(3),
      reads: fc.nat(12),
      lost: fc.nat(8),
      leaves: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
        const given = { bytes: 30 * SIZE, givenBytes: 8 * SIZE, aheadBytes: 6 * SIZE };
        const { streams, open, resume } = counters({ ...given, streams: 3 });
        const all: StreamSource[] = [];
        const readers = new Map<number, Visit>();
        for (const { id, reads, lost, leaves } of acts) {
          let reader = readers.get(id);
          if (!reader) {
            const name = `s${all.length}`;
            const source = open(name);
            if (!source) continue;
            all.push(source);
            readers.set(id, reader = { name, source, last: 0, isGone: false });
          } else if (reader.isGone || lost > 4) {
            reader.last = Math.max(0, reader.last - lost); // what the connection swallowed
            try {
              reader.source = resume(reader.name, reader.last);
              reader.isGone = false;
              all.push(reader.source);
            } catch {
              readers.delete(id);
              continue;
            }
          }
          for (let i = 0; i < reads; i++) {
            const next = await reader.source.next();
            if (told(next) === "error") {
              readers.delete(id);
              break;
            }
            reader.last++;
            expect([next?.number, told(next)]).toEqual([reader.last, reader.last]);
          }
          expect(streams.bytes).toBeLessThanOrEqual(30 * SIZE);
          if (leaves) {
            reader.source.leave();
            reader.isGone = true;
            await Bun.sleep(0);
          }
        }
        streams.end();
        for (const source of all) source.leave();
        await Bun.sleep(0);
        expect([streams.size, streams.bytes]).toEqual([0, 0]);
      }),
      { numRuns: 60 },
    );
  });

  test("are not given up between the beginning of an answer and its first event", async () => {
    const { streams, begin, resume } = counters();
    const reader = begin("s");
    expect([streams.places(), streams.giveUp()]).toEqual([0, false]);
    await read(reader, 3);
    reader.leave();
    expect(streams.places()).toBe(1);
    const again = resume("s", 3);
    expect([streams.places(), streams.giveUp()]).toEqual([0, false]);
    await read(again, 3, 3);
    again.leave();
    expect([streams.places(), streams.giveUp(), streams.size]).toEqual([1, true, 0]);
  });

  test("their end drops those that nobody reads, and each that is left after", async () => {
    const { streams, begin } = counters();
    const [one, two] = [begin("one"), begin("two")];
    for (const reader of [one, two]) await read(reader, 3);
    one.leave();
    streams.end();
    expect(streams.size).toBe(1);
    await read(two, 3, 3);
    two.leave();
    expect([streams.size, streams.bytes]).toEqual([0, 0]);
  });
});
