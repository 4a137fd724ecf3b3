import { expect, test } from "bun:test";
import { limits } from "../../src/limits.ts";
import { linger } from "../../src/server/linger.ts";

/** A body whose parts, a byte each, are all there already. */
function readerOf(parts: number) {
  let read = 0;
  const part = new Uint8Array(1);
  const next = { done: false, value: part } as const;
  const end = { done: true, value: undefined } as const;
  return {
    read: () => Promise.resolve(read++ < parts ? next : end),
    get count() {
      return read;
    },
  };
}

test("reads a refused body to its end, and lets others have their turn", async () => {
  let turns = 0;
  const ticking = setInterval(() => turns++);
  const reader = readerOf(50 * limits.bodyPartsATurn);
  await linger(reader);
  clearInterval(ticking);
  expect(reader.count).toBe(50 * limits.bodyPartsATurn + 1);
  expect(turns).toBeGreaterThan(0);
});

test("does not wait for what does not come", async () => {
  await linger({ read: () => new Promise(() => {}) });
});

test("takes a client that leaves for the end", async () => {
  await linger({ read: () => Promise.reject(new Error("reset")) });
});
