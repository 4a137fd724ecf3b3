/** An engine in another thread behaves like one in this: the same events, errors and limits. */

import { afterEach, describe, expect, test } from "bun:test";
import type { EngineStats } from "../../src/engine/door.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import { hostEngine, type HostOptions } from "../../src/engine/host.ts";
import { RemoteEngine, type RemoteOptions } from "../../src/engine/remote.ts";
import type { TokenConstraint } from "../../src/engine/request.ts";
import type { FromHost, Port, ToHost } from "../../src/engine/wire.ts";
import { ArcticError } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { Stopwatch } from "../support/own-time.ts";
import { until } from "../support/until.ts";
import { FakeDoor, generate } from "./fake-door.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Connected {
  readonly engine: RemoteEngine;
  /** Every message of the engine's thread. */
  readonly messages: FromHost[];
  readonly sent: ToHost[];
}

async function connect(
  door: FakeDoor,
  options: HostOptions = {},
  events: Partial<RemoteOptions> = {},
): Promise<Connected> {
  const { port1, port2 } = new MessageChannel();
  closing.push(() => port1.close(), () => port2.close());
  const messages: FromHost[] = [], sent: ToHost[] = [];
  const opened = await new Promise<FromHost & { type: "opened" }>((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    hostEngine(door, port2 as Port, options);
  });
  const port: Port = {
    set onmessage(listener: ((event: MessageEvent) => void) | null) {
      port1.onmessage = (event) => {
        messages.push(event.data);
        listener?.(event as unknown as MessageEvent);
      };
    },
    postMessage(message, transfer) {
      sent.push(message as ToHost);
      port1.postMessage(message, transfer ?? []);
    },
  };
  const engine = new RemoteEngine(port, { ...opened, ...events });
  return { engine, messages, sent };
}

async function read(events: AsyncIterable<EngineEvent>): Promise<EngineEvent[]> {
  const all: EngineEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const failure = (events: AsyncIterable<EngineEvent>): Promise<Error> =>
  read(events).then(() => new Error("nothing was thrown"), (error) => error);

const turns = async (count = 20) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1));
};

describe("a request", () => {
  test("has the events that the engine's own door gives", async () => {
    const request = generate([3, 4], { maxTokens: 5, logitBias: new Map([[1, 2]]) } as object);
    const { engine } = await connect(new FakeDoor());
    expect(await read(engine.submit(request))).toEqual(await read(new FakeDoor().submit(request)));
  });

  test("arrives as it was asked, ids that are none included", async () => {
    const door = new FakeDoor();
    const { engine } = await connect(door);
    const request = generate([1.5, -1, 2 ** 40, NaN], {
      maxTokens: 1,
      sampling: { ...generate([]).sampling, logitBias: new Map([[7, -100]]) },
      cacheSalt: "salt",
    });
    await read(engine.submit(request));
    expect(door.requests).toEqual([request]);
  });

  test("is not sent before it is read, like the engine's own", async () => {
    const door = new FakeDoor();
    const { engine } = await connect(door);
    engine.submit(generate([1]));
    await turns();
    expect(door.requests).toEqual([]);
  });

  test("knows device, context and vocabulary", async () => {
    const { engine } = await connect(new FakeDoor());
    expect([engine.device, engine.contextTokens, engine.vocabulary]).toEqual(["a fake", 100, 10]);
  });

  test("cannot bring a constraint along", async () => {
    const { engine } = await connect(new FakeDoor());
    const constraint = { admits: () => true, accept: () => {} };
    expect((await failure(engine.submit(generate([1], { constraint })))).message).toContain(
      "constraint",
    );
  });
});

describe("credit", () => {
  test("who does not read holds his request back, and nobody else's", async () => {
    const door = new FakeDoor();
    const { engine } = await connect(door);
    const idle = engine.submit(generate([1], { maxTokens: 1_000 }));
    await idle.next();
    await turns();
    const made = door.made.get(1) ?? 0;
    expect(made).toBeGreaterThan(1);
    expect(made).toBeLessThanOrEqual(limits.eventCredit);
    expect((await read(engine.submit(generate([2], { maxTokens: 500 })))).length).toBe(501);
    expect(door.made.get(1)).toBe(made);
    // And he loses nothing.
    const rest = await read(idle);
    expect(rest.length).toBe(1_000);
    expect(rest.at(-1)).toMatchObject({ type: "end", finishReason: "length" });
  });

  test("is given back in lumps, not for each event", async () => {
    const { engine, sent } = await connect(new FakeDoor());
    await read(engine.submit(generate([1], { maxTokens: 10 * limits.eventCredit })));
    const grants = sent.filter(({ type }) => type === "credit");
    expect(grants.length).toBeGreaterThan(5);
    expect(grants.length).toBeLessThanOrEqual(20);
  });

  test("a request that is held back is not one to wait for", async () => {
    const { engine } = await connect(new FakeDoor());
    expect(engine.isExpecting).toBe(false);
    const events = engine.submit(generate([1], { maxTokens: 1_000 }));
    await events.next();
    await until(() => !engine.isExpecting);
    await events.return();
  });

  test("events of one step come in one message", async () => {
    const gates = new Map<number, () => void>();
    const door = new FakeDoor();
    door.before = ({ tokens }) =>
      new Promise((resolve) => void gates.set(tokens[0] as number, resolve));
    const { engine, messages } = await connect(door);
    const all = [1, 2, 3, 4].map((id) => read(engine.submit(generate([id], { maxTokens: 3 }))));
    for (let step = 0; step < 3; step++) {
      await until(() => gates.size === 4);
      const open = [...gates.values()];
      gates.clear();
      for (const resolve of open) resolve();
    }
    await Promise.all(all);
    const batches = messages.map((message) =>
      message.type === "news" ? message.happenings.filter((each) => "event" in each).length : 0
    );
    expect(batches.filter((size) => size === 4).length).toBe(4);
  });
});

describe("the end of interest", () => {
  const endless = { maxTokens: 1e9 };
  const freed = (stats: EngineStats) => stats.running === 0 && stats.pagesUsed === 0;

  test("leaving the loop frees the request within 100 ms", async () => {
    const { engine } = await connect(new FakeDoor());
    let count = 0;
    let since: Stopwatch | undefined;
    for await (const event of engine.submit(generate([1], endless))) {
      if (event.type !== "token" || ++count < 3) continue;
      since = new Stopwatch();
      break;
    }
    await until(() => freed(engine.stats()));
    expect(since?.own()).toBeLessThan(100);
  });

  test("aborting ends it with `cancelled`, and frees it within 100 ms", async () => {
    const { engine } = await connect(new FakeDoor());
    const controller = new AbortController();
    const events: EngineEvent[] = [];
    let since: Stopwatch | undefined;
    for await (const event of engine.submit(generate([1], endless), controller.signal)) {
      events.push(event);
      if (events.length !== 3) continue;
      since = new Stopwatch();
      controller.abort();
    }
    expect(events.at(-1)).toMatchObject({ type: "end", finishReason: "cancelled" });
    await until(() => freed(engine.stats()));
    expect(since?.own()).toBeLessThan(100);
  });

  test("a request that is held back is freed all the same", async () => {
    const { engine } = await connect(new FakeDoor());
    const events = engine.submit(generate([1], endless));
    await events.next();
    await until(() => !engine.isExpecting);
    expect(engine.stats().running).toBe(1);
    const since = new Stopwatch();
    await events.return();
    await until(() => freed(engine.stats()));
    expect(since.own()).toBeLessThan(100);
  });

  test("a request that was aborted before it began has its end only", async () => {
    const { engine } = await connect(new FakeDoor());
    const events = await read(engine.submit(generate([1], endless), AbortSignal.abort()));
    expect(events.at(-1)).toMatchObject({ type: "end", finishReason: "cancelled" });
    expect(events.length).toBe(1);
  });
});

describe("errors", () => {
  test("an ArcticError crosses with code, message and exit", async () => {
    const door = new FakeDoor();
    const error = new ArcticError("request_bad_token", "Token 9 is bad.", { exit: 70 });
    door.before = () => {
      throw error;
    };
    const { engine } = await connect(door);
    const thrown = await failure(engine.submit(generate([1])));
    expect(thrown).toBeInstanceOf(ArcticError);
    const { code, message, exit } = thrown as ArcticError;
    expect([code, message, exit]).toEqual([error.code, error.message, 70]);
  });

  test("come after the events before them, and touch no other request", async () => {
    const door = new FakeDoor();
    door.before = ({ tokens }, token) => {
      if (tokens[0] === 1 && token === 2) throw new TypeError("a bug");
    };
    const { engine } = await connect(door);
    const other = read(engine.submit(generate([2], { maxTokens: 50 })));
    const events = engine.submit(generate([1], { maxTokens: 9 }));
    expect([(await events.next()).done, (await events.next()).done]).toEqual([false, false]);
    const thrown = await events.next().catch((reason) => reason);
    expect([thrown.name, thrown.message]).toEqual(["TypeError", "a bug"]);
    expect((await other).length).toBe(51);
  });

  test("an engine that is beyond use is told of", async () => {
    const door = new FakeDoor();
    const broken: Error[] = [];
    const { engine } = await connect(door, {}, { onBroken: (error) => broken.push(error) });
    await read(engine.submit(generate([1])));
    expect(broken).toEqual([]);
    door.broken = new ArcticError("device_lost", "Gone.", { exit: 70 });
    await read(engine.submit(generate([2])));
    expect(broken[0]).toMatchObject({ code: "device_lost", exit: 70 });
  });

  test("after `fail` nothing runs and nothing is sent", async () => {
    const { engine, sent } = await connect(new FakeDoor());
    const events = engine.submit(generate([1], { maxTokens: 1e9 }));
    await events.next();
    const lost = new ArcticError("engine_crashed", "Lost.");
    engine.fail(lost);
    expect(await failure(events)).toBe(lost);
    const before = sent.length;
    expect(await failure(engine.submit(generate([1])))).toBe(lost);
    expect(sent.length).toBe(before);
  });
});

describe("a grammar", () => {
  class Followed implements TokenConstraint {
    isClosed = false;
    admits = () => true;
    accept = () => {};
    close = () => void (this.isClosed = true);
  }

  test("becomes the constraint that the host has for its number", async () => {
    const door = new FakeDoor();
    const made: Followed[] = [], ids: number[] = [];
    const constraint = (id: number) => {
      ids.push(id);
      return made[made.push(new Followed()) - 1] as Followed;
    };
    const { engine } = await connect(door, { constraint });
    await read(engine.submit(generate([1], { grammar: 7 })));
    await read(engine.submit(generate([1])));
    const [first, second] = door.requests;
    expect(ids).toEqual([7]);
    expect(first).toMatchObject({ grammar: 7, constraint: made[0] });
    expect(second && "constraint" in second).toBe(false);
  });

  test("its constraint is closed where the engine refuses the request", async () => {
    const door = new FakeDoor();
    const followed = new Followed();
    door.before = () => {
      throw new ArcticError("request_empty_prompt", "Empty.");
    };
    const { engine } = await connect(door, { constraint: () => followed });
    expect((await failure(engine.submit(generate([1], { grammar: 1 })))).message).toContain(
      "Empty",
    );
    await until(() => followed.isClosed);
  });

  test("without anyone to follow it the request fails", async () => {
    const { engine } = await connect(new FakeDoor());
    expect((await failure(engine.submit(generate([1], { grammar: 7 })))).message).toContain(
      "grammar",
    );
  });
});
