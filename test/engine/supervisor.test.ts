/** An engine whose thread is lost comes back once; a second loss, or silence, is the end. */

import { afterEach, describe, expect, test } from "bun:test";
import type { EngineEvent } from "../../src/engine/events.ts";
import { hostEngine, signOfLife } from "../../src/engine/host.ts";
import { type EngineThread, Supervisor } from "../../src/engine/supervisor.ts";
import { errorToWire, type Port } from "../../src/engine/wire.ts";
import { startWorkerThread } from "../../src/engine/worker-thread.ts";
import { ArcticError, errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { until } from "../support/until.ts";
import { FakeDoor, generate } from "./fake-door.ts";

const opened: Bench[] = [];
afterEach(() => {
  for (const bench of opened.splice(0)) bench.close();
});

/** A supervisor whose threads are fake doors behind message channels, and whose clock stands still. */
class Bench {
  now = 1_000;
  readonly doors: FakeDoor[] = [];
  readonly restarts: Error[] = [];
  readonly losses: Error[] = [];
  readonly notes: unknown[] = [];
  terminated = 0;
  restarted = 0;
  openings = 0;
  /** Says what the next thread does instead of opening an engine. */
  onStart: (port: Port) => boolean = () => false;
  #crash: (reason: string) => void = () => {};
  #look = () => {};
  #closing: (() => void)[] = [];
  #supervisor: Supervisor | undefined;

  async open(signal?: AbortSignal): Promise<Supervisor> {
    opened.push(this);
    return this.#supervisor = await Supervisor.open({
      start: () => this.#start(),
      clock: () => this.now,
      every: (_, callback) => {
        this.#look = callback;
        return () => this.#look = () => {};
      },
      onNote: (note) => this.notes.push(note),
      onOpened: () => void this.openings++,
      onRestart: (error) => this.restarts.push(error),
      onRestarted: () => void this.restarted++,
      onUnrecoverable: (error) => this.losses.push(error),
    }, signal);
  }

  /** The thread that runs now throws. */
  crash(reason: string): void {
    this.#crash(reason);
  }

  pass(milliseconds: number): void {
    for (let passed = 0; passed < milliseconds; passed += limits.watchdogLookMilliseconds) {
      this.now += limits.watchdogLookMilliseconds;
      this.#look();
    }
  }

  close(): void {
    this.#supervisor?.close();
    for (const close of this.#closing.splice(0)) close();
  }

  #start(): EngineThread {
    const { port1, port2 } = new MessageChannel();
    this.#closing.push(() => port1.close(), () => port2.close());
    const { promise: failed, resolve } = Promise.withResolvers<string>();
    this.#crash = resolve;
    if (!this.onStart(port2 as Port)) {
      const door = new FakeDoor();
      this.doors.push(door);
      // As from a thread: after the one who starts it has begun to listen.
      setTimeout(() => {
        port2.postMessage({ type: "note", note: `opening ${this.doors.length}` });
        hostEngine(door, port2 as Port);
      });
    }
    return { port: port1 as Port, failed, terminate: () => void this.terminated++ };
  }
}

async function outcome(events: AsyncIterable<EngineEvent>): Promise<string> {
  try {
    let last = "";
    for await (const event of events) last = event.type;
    return last;
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}

const ask = (supervisor: Supervisor, maxTokens = 2) =>
  outcome(supervisor.submit(generate([1], { maxTokens })));
/** Some turns of the event loop: messages are through, however late each comes. */
const turn = async () => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 1));
};
const never = () => new Promise<void>(() => {});

describe("opening", () => {
  test("forwards notes, and is ready once the engine is", async () => {
    const bench = new Bench();
    const supervisor = await bench.open();
    expect([bench.notes, bench.openings]).toEqual([["opening 1"], 1]);
    expect([supervisor.state, supervisor.device]).toEqual(["ready", "a fake"]);
    expect(await ask(supervisor)).toBe("end");
  });

  test("fails with the engine's own error, and does not try again", async () => {
    const bench = new Bench();
    const refusal = new ArcticError("weights_damaged", "Damaged.");
    bench.onStart = (port) => {
      setTimeout(() => port.postMessage({ type: "failed", error: errorToWire(refusal) }));
      return true;
    };
    const error = await bench.open().catch((reason) => reason);
    expect([error.code, error.message]).toEqual(["weights_damaged", "Damaged."]);
    expect([bench.terminated, bench.restarts.length]).toEqual([1, 0]);
  });

  test("fails when the thread does, and is given up on a signal", async () => {
    const crashing = new Bench(), waiting = new Bench();
    crashing.onStart = waiting.onStart = () => true;
    const crash = crashing.open().catch((reason) => reason);
    crashing.crash("TypeError: boom");
    expect(await crash).toMatchObject({ code: "engine_crashed", exit: 70 });
    expect((await crash).message).toContain("TypeError: boom");

    const controller = new AbortController();
    const interrupted = waiting.open(controller.signal).catch((reason) => reason);
    controller.abort(new Error("interrupted"));
    expect((await interrupted).message).toBe("interrupted");
    expect(waiting.terminated).toBe(1);
  });
});

describe.each(["crash", "device_lost"])("a lost engine (%s)", (how) => {
  async function lose(bench: Bench, supervisor: Supervisor): Promise<string> {
    const door = bench.doors.at(-1) as FakeDoor;
    if (how === "crash") {
      door.before = never;
      const running = ask(supervisor);
      await until(() => door.requests.length > 0);
      bench.crash("boom");
      return await running;
    }
    door.before = () => {
      throw new ArcticError("device_lost", "Gone.", { exit: 70 });
    };
    return await ask(supervisor);
  }

  test("fails what runs, refuses what comes, and is back once", async () => {
    const bench = new Bench();
    const supervisor = await bench.open();
    await ask(supervisor, 5);
    const code = how === "crash" ? "engine_crashed" : "device_lost";
    expect(await lose(bench, supervisor)).toBe(code);
    await until(() => bench.restarts.length === 1);
    expect(supervisor.state).toBe("restarting");
    expect(await ask(supervisor)).toBe("engine_restarting");
    expect(supervisor.stats()).toMatchObject({ running: 0, pagesTotal: 0, steps: 5 });
    await until(() => bench.restarted === 1);
    expect([bench.terminated, bench.openings, bench.losses]).toEqual([1, 2, []]);
    expect(await ask(supervisor, 3)).toBe("end");
    // Counters go on, and gauges are the new engine's.
    expect(supervisor.stats()).toMatchObject({ steps: 8, pagesTotal: 64 });

    expect(await lose(bench, supervisor)).toBe(code);
    await until(() => bench.losses.length === 1);
    expect(errorCode(bench.losses[0])).toBe(code);
    expect([supervisor.state, bench.doors.length]).toEqual(["lost", 2]);
    expect(await ask(supervisor)).toBe("engine_lost");
  });
});

test("an engine that cannot be opened again is lost", async () => {
  const bench = new Bench();
  await bench.open();
  bench.onStart = (port) => {
    const error = errorToWire(new ArcticError("device_none", "No adapter."));
    setTimeout(() => port.postMessage({ type: "failed", error }));
    return true;
  };
  bench.crash("boom");
  await until(() => bench.losses.length === 1);
  expect(errorCode(bench.losses[0])).toBe("device_none");
});

test("closing fails what runs, and nothing is started again", async () => {
  const bench = new Bench();
  const supervisor = await bench.open();
  (bench.doors[0] as FakeDoor).before = never;
  const running = ask(supervisor);
  await until(() => bench.doors[0]?.requests.length === 1);
  supervisor.close();
  expect(await running).toBe("engine_closed");
  bench.crash("terminated");
  await turn();
  expect([bench.restarts.length, bench.losses.length, bench.doors.length]).toEqual([0, 0, 1]);
});

describe("the watchdog", () => {
  test("takes silence for a hang only while somebody waits", async () => {
    const bench = new Bench();
    const supervisor = await bench.open();
    bench.pass(10 * limits.watchdogMilliseconds);
    (bench.doors[0] as FakeDoor).before = never;
    const running = ask(supervisor);
    await until(() => bench.doors[0]?.requests.length === 1);
    await turn();
    bench.pass(limits.watchdogMilliseconds - limits.watchdogLookMilliseconds);
    expect(bench.losses).toEqual([]);
    bench.pass(limits.watchdogLookMilliseconds);
    expect(bench.losses[0]).toMatchObject({ code: "engine_hung", exit: 70 });
    expect(await running).toBe("engine_hung");
    // A call that hangs cannot be ended from within: there is no second engine beside it.
    expect(bench.doors.length).toBe(1);
  });

  test("lets an engine be that moves, however slowly", async () => {
    const bench = new Bench();
    const supervisor = await bench.open();
    let go = () => {};
    (bench.doors[0] as FakeDoor).before = () => new Promise((resolve) => void (go = resolve));
    const running = ask(supervisor, 4);
    for (let token = 0; token < 4; token++) {
      await turn();
      bench.pass(limits.watchdogMilliseconds - limits.watchdogLookMilliseconds);
      go();
    }
    expect(await running).toBe("end");
    expect(bench.losses).toEqual([]);
  });

  test("lets a step be that passes a layer now and then, and no other", async () => {
    const bench = new Bench();
    let pass = () => {};
    bench.onStart = (port) => {
      pass = signOfLife(port, () => bench.now);
      return false;
    };
    const supervisor = await bench.open();
    (bench.doors[0] as FakeDoor).before = never;
    const running = ask(supervisor);
    await until(() => bench.doors[0]?.requests.length === 1);
    for (let layer = 0; layer < 4; layer++) {
      bench.pass(limits.watchdogMilliseconds - limits.watchdogLookMilliseconds);
      pass();
      await turn();
    }
    expect(bench.losses).toEqual([]);
    bench.pass(limits.watchdogMilliseconds);
    expect(bench.losses[0]).toMatchObject({ code: "engine_hung" });
    expect(await running).toBe("engine_hung");
  });

  test("does not blame the engine for a reader that does not read", async () => {
    const bench = new Bench();
    const supervisor = await bench.open();
    const events = supervisor.submit(generate([1], { maxTokens: 1e6 }));
    await events.next();
    await turn();
    bench.pass(3 * limits.watchdogMilliseconds);
    expect(bench.losses).toEqual([]);
    await events.return();
  });
});

test("a real thread that throws is replaced, and the second one is not", async () => {
  const module = new URL("./fake-door-thread.ts", import.meta.url);
  const restarts: Error[] = [], losses: Error[] = [];
  const supervisor = await Supervisor.open({
    start: () => startWorkerThread(module, "open"),
    clock: () => performance.now(),
    every: () => () => {},
    onRestart: (error) => restarts.push(error),
    onUnrecoverable: (error) => losses.push(error),
  });
  const crash = () => outcome(supervisor.submit(generate([9], { maxTokens: 5 })));
  expect(await ask(supervisor, 200)).toBe("end");
  expect(await crash()).toBe("engine_crashed");
  expect(restarts[0]?.message).toContain("TypeError: thrown by the thread");
  expect(restarts[0]?.message).not.toContain("\n");
  await until(() => supervisor.state === "ready");
  expect(await ask(supervisor, 200)).toBe("end");
  expect(await crash()).toBe("engine_crashed");
  await until(() => losses.length === 1);
  expect(supervisor.state).toBe("lost");
});
