/** A stream's items as the body of an answer: encoded when the client reads, kept alive, bounded in time. */

import { limits } from "../../limits.ts";
import type { Encoder } from "./stream-item.ts";
import type { Numbered, StreamSource } from "./stream-source.ts";

export interface StreamTiming {
  /** Milliseconds of silence before a sign of life. */
  readonly keepAliveMs: number;
  /** Milliseconds for which a client may read nothing before it counts as gone. */
  readonly unreadMs: number;
}

export const streamTiming: StreamTiming = {
  keepAliveMs: limits.streamKeepAliveMs,
  unreadMs: limits.streamUnreadMs,
};

/** @param signal of the request: aborted when the client is gone */
export function byteStream(
  source: StreamSource,
  encoder: Encoder,
  signal: AbortSignal,
  timing: StreamTiming,
): ReadableStream<Uint8Array> {
  let pending: Promise<Numbered | undefined> | undefined;
  let unread: ReturnType<typeof setTimeout> | undefined;
  let isLeft = false;
  let isClosed = false;
  const leave = () => {
    clearTimeout(unread);
    if (isLeft) return;
    isLeft = true;
    signal.removeEventListener("abort", leave);
    source.leave();
  };
  const close = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    leave();
    if (isClosed) return;
    isClosed = true;
    controller.close();
  };
  const encode = ({ item, number }: Numbered): Uint8Array => {
    if (item.type === "progress") return encoder.progress(item.done, item.total);
    const hasId = source.id !== undefined && number !== undefined;
    return encoder.item(item, hasId ? `${source.id}-${number}` : undefined);
  };
  return new ReadableStream<Uint8Array>({
    start() {
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
    },
    async pull(controller) {
      clearTimeout(unread);
      if (isLeft) return close(controller);
      pending ??= source.next();
      const next = await within(pending, timing.keepAliveMs);
      if (isLeft || next === undefined) return close(controller);
      if (next !== LATE) pending = undefined;
      controller.enqueue(next === LATE ? encoder.keepAlive() : encode(next));
      unread = setTimeout(() => close(controller), timing.unreadMs);
    },
    cancel() {
      isClosed = true;
      leave();
    },
  }, { highWaterMark: 0 });
}

const LATE = Symbol("late");

async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | typeof LATE> {
  const timer = Promise.withResolvers<typeof LATE>();
  const id = setTimeout(() => timer.resolve(LATE), milliseconds);
  try {
    return await Promise.race([promise, timer.promise]);
  } finally {
    clearTimeout(id);
  }
}
