/** Ops shared by threads: the same bits as on one, errors that arrive, and a process that ends. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import process from "node:process";
import { ropeTable } from "../../src/backend/cpu/index.ts";
import type { Job } from "../../src/backend/cpu/job.ts";
import { Threads } from "../../src/backend/cpu/threads.ts";
import { limits } from "../../src/limits.ts";
import { extentOf } from "../../src/backend/cpu/job.ts";
import { floats, fp8Matrix, random } from "./cpu-fixtures.ts";

let one: Threads, three: Threads;
beforeAll(async () => {
  one = await Threads.open(1);
  three = await Threads.open(3);
});
afterAll(() => {
  one.close();
  three.close();
});

const next = random(21);
const shared = (values: Float32Array) => {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
};

const matrix = fp8Matrix(1030, 500, next, { stride: 512 });
const down = fp8Matrix(900, 515, next, { stride: 528 });
const x = shared(floats(6 * 500, next)), h = shared(floats(3 * 515, next));
const chosen = Uint32Array.of(0, 2, 5), gates = floats(3, next);
const shape = { heads: 16, kvHeads: 4, headDim: 32, pageTokens: 16 };
const stored = () => shared(floats(320 * shape.kvHeads * shape.headDim, next));
const attention: Job = {
  op: "attention",
  out: x,
  qkv: shared(floats(4 * 24 * 32, next)),
  kv: { keys: stored(), values: stored() },
  view: {
    pages: Uint32Array.from({ length: 20 }, (_, i) => 19 - i),
    sinks: 4,
    window: 290,
    ring: 300,
  },
  position: 310,
  rows: 4,
  table: ropeTable(295, 32, 10_000),
  shape,
};

const jobs: Record<string, (out: Float32Array) => Job> = {
  "linear, one row": (out) => ({ op: "linear", out, matrix, x, rows: 1, add: true }),
  "linear, six rows": (out) => ({ op: "linear", out, matrix, x, rows: 6, add: false }),
  "gate-up, one row": (out) => ({ op: "gate-up", out, matrix, x, rows: 1 }),
  "gate-up, six rows": (out) => ({ op: "gate-up", out, matrix, x, rows: 6 }),
  "expert gate-up": (out) => ({ op: "expert-gate-up", out, matrix, x, rows: chosen }),
  "expert down": (out) => ({
    op: "expert-down",
    out,
    matrix: down,
    h,
    rows: chosen,
    weights: gates,
  }),
  "expert down, one row": (out) => ({
    op: "expert-down",
    out,
    matrix: down,
    h,
    rows: chosen.slice(1, 2),
    weights: gates,
  }),
  "attention, four rows": (out) => ({ ...attention, out }),
  "attention, one row": (out) => ({ ...attention, out, rows: 1 }),
};

describe("three threads", () => {
  for (const [name, job] of Object.entries(jobs)) {
    test(`give the bits of one: ${name}`, () => {
      const start = floats(6 * 1030, random(5));
      const alone = shared(start), together = shared(start);
      expect(extentOf(job(alone)).work).toBeGreaterThan(limits.cpuSharedWork);
      one.run(job(alone));
      expect(alone).not.toEqual(shared(start));
      for (let i = 0; i < 20; i++) {
        together.set(start);
        three.run(job(together));
        expect(together).toEqual(alone);
      }
    });
  }

  test("report a part that failed, and go on", async () => {
    const threads = await Threads.open(2);
    const broken = { ...attention, out: shared(new Float32Array(1024)), table: undefined };
    expect(() => threads.run(broken as unknown as Job)).toThrow();
    const out = shared(new Float32Array(1030));
    const job: Job = { op: "linear", out, matrix, x, rows: 1, add: false };
    threads.run(job);
    const alone = shared(new Float32Array(1030));
    one.run({ ...job, out: alone });
    expect(out).toEqual(alone);
    threads.close();
  });

  test("refuse an output that they could not write to", () => {
    const out = new Float32Array(1030);
    expect(() => three.run({ op: "linear", out, matrix, x, rows: 1, add: false })).toThrow(
      "threads",
    );
  });
});

test("a process that leaves its threads idle ends by itself", async () => {
  const module = JSON.stringify(new URL("../../src/backend/cpu/threads.ts", import.meta.url).href);
  const script = `const { Threads } = await import(${module});
    const threads = await Threads.open(2);
    console.log(threads.count);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
  const timer = setTimeout(() => child.kill(), 20_000);
  expect(await child.exited).toBe(0);
  clearTimeout(timer);
  expect(await new Response(child.stdout).text()).toBe("2\n");
  expect(await new Response(child.stderr).text()).toBe("");
});
