/**
 * How often Dawn is asked whether something has finished.
 *
 * bun-webgpu polls in a busy loop of setImmediate while anything is pending. That keeps one core
 * at work for nothing, and on a software adapter it is a core that the driver computes with. Here a
 * poll that found nothing sleeps a little first: short enough not to be felt as latency, and the
 * event loop still turns between polls.
 */

import { limits } from "../../limits.ts";

/** The part of bun-webgpu's InstanceTicker that is replaced. */
interface Ticker {
  hasWaiting(): boolean;
  processEvents(): void;
  scheduleTick(): void;
}

/** Makes the instance poll with a short sleep between polls. Does nothing if it has no ticker. */
export function pace(instance: object): void {
  const ticker = (instance as { _ticker?: Partial<Ticker> })._ticker;
  if (isTicker(ticker)) replaceSchedule(ticker);
}

function replaceSchedule(ticker: Ticker): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let scheduled = false;

  function tick(): void {
    scheduled = false;
    ticker.processEvents();
    if (!ticker.hasWaiting()) return;
    Atomics.wait(cell, 0, 0, limits.gpuPollMilliseconds);
    schedule();
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(tick);
  }

  ticker.scheduleTick = schedule;
}

function isTicker(value: Partial<Ticker> | undefined): value is Ticker {
  return typeof value?.hasWaiting === "function" && typeof value.processEvents === "function" &&
    typeof value.scheduleTick === "function";
}
