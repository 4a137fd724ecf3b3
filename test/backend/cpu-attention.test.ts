/**
 * Attention over paged, circular storage, against StreamingLLM's cache written as its authors do: a
 * list that grows by one and then drops what is neither sink nor recent (ARCTIC.md, section 10).
 */

import { describe, expect, test } from "bun:test";
import {
  attentionDecode,
  attentionPrefill,
  type HeadShape,
  type KvPages,
  kvWrite,
  rope,
  ropeTable,
} from "../../src/backend/cpu/index.ts";
import type { SequenceView } from "../../src/model/backend.ts";
import { expectClose, floats, random, rowOf } from "./cpu-fixtures.ts";

const THETA = 10_000;
const TOKENS = 41;

type Vector = readonly number[];

function rotated(x: Vector, position: number): number[] {
  const half = x.length / 2;
  return x.map((value, i) => {
    const angle = position * Math.pow(THETA, -2 * (i % half) / x.length);
    const other = i < half ? -x[i + half]! : x[i - half]!;
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/** What each token's heads attend to, [tokens][heads * headDim], one token a step. */
function stream(qkv: Float32Array, shape: HeadShape, sinks: number, recent: number): number[][] {
  const { heads, kvHeads, headDim } = shape;
  const width = (heads + 2 * kvHeads) * headDim;
  const split = (row: Float32Array, from: number, count: number): Vector[] =>
    Array.from({ length: count }, (_, h) => {
      const start = (from + h) * headDim;
      return Array.from(row.subarray(start, start + headDim));
    });
  let keys: Vector[][] = [], values: Vector[][] = [];
  const out: number[][] = [];
  for (let t = 0; t < qkv.length / width; t++) {
    const row = rowOf(qkv, t, width);
    keys.push(split(row, heads, kvHeads));
    values.push(split(row, heads + kvHeads, kvHeads));
    const n = keys.length;
    out.push(
      split(row, 0, heads).flatMap((query, h) => {
        const g = Math.floor(h / (heads / kvHeads));
        const q = rotated(query, n - 1);
        const e = keys.map((key, slot) => {
          const k = rotated(key[g]!, slot);
          return Math.exp(k.reduce((sum, v, i) => sum + v * q[i]!, 0) / Math.sqrt(headDim));
        });
        const total = e.reduce((a, b) => a + b, 0);
        return q.map((_, i) => values.reduce((s, v, j) => s + e[j]! / total * v[g]![i]!, 0));
      }),
    );
    if (n > sinks + recent) {
      keys = [...keys.slice(0, sinks), ...keys.slice(n - recent)];
      values = [...values.slice(0, sinks), ...values.slice(n - recent)];
    }
  }
  return out;
}

/** A pool filled with NaN, so that an entry read before it is written shows. */
function pool(pages: number, shape: HeadShape): KvPages {
  const length = pages * shape.pageTokens * shape.kvHeads * shape.headDim;
  return { keys: new Float32Array(length).fill(NaN), values: new Float32Array(length).fill(NaN) };
}

/** Pages in no order, none of them page 0. */
function view(sinks: number, window: number, ring: number, pageTokens: number): SequenceView {
  const count = Math.ceil((sinks + Math.min(ring, TOKENS)) / pageTokens);
  const pages = Uint32Array.from({ length: count }, (_, i) => 1 + (i * 7 + 3) % 29);
  return { pages, sinks, window, ring };
}

/** Runs the ops over chunks of the given sizes, in turn. */
function run(qkv: Float32Array, shape: HeadShape, seen: SequenceView, chunks: number[]) {
  const { heads, kvHeads, headDim } = shape;
  const width = (heads + 2 * kvHeads) * headDim, queries = heads * headDim;
  const kv = pool(30, shape);
  const table = ropeTable(TOKENS + 1, headDim, THETA);
  const out: number[][] = [];
  for (let t = 0, turn = 0; t < TOKENS; turn++) {
    const rows = Math.min(chunks[turn % chunks.length]!, TOKENS - t);
    const part = qkv.slice(t * width, (t + rows) * width);
    kvWrite(kv, part, seen, t, rows, shape);
    const slots = Uint32Array.from(
      { length: rows },
      (_, r) => Math.min(t + r, seen.sinks + seen.window),
    );
    rope(part, slots, table, heads, width);
    const mixed = new Float32Array(rows * queries);
    if (rows === 1) attentionDecode(mixed, part, kv, seen, t, table, shape);
    else attentionPrefill(mixed, part, kv, seen, t, rows, table, shape);
    for (let r = 0; r < rows; r++) out.push(Array.from(rowOf(mixed, r, queries)));
    t += rows;
  }
  return out;
}

const shapes: HeadShape[] = [
  { heads: 4, kvHeads: 2, headDim: 8, pageTokens: 4 },
  { heads: 7, kvHeads: 1, headDim: 6, pageTokens: 16 },
  { heads: 3, kvHeads: 3, headDim: 4, pageTokens: 3 },
];
const chunkings = [[1], [TOKENS], [7], [5, 1, 2, 11]];

for (const shape of shapes) {
  const { heads, kvHeads, headDim } = shape;
  const qkv = floats(TOKENS * (heads + 2 * kvHeads) * headDim, random(headDim))
    .map((v) => v * 3);
  describe(`${heads} heads over ${kvHeads} of ${headDim}, pages of ${shape.pageTokens}`, () => {
    for (const chunks of chunkings) {
      test(`nothing evicted, chunks of ${chunks}`, () => {
        const expected = stream(qkv, shape, 0, TOKENS);
        const seen = view(0, TOKENS, 2 * TOKENS, shape.pageTokens);
        for (const [t, row] of run(qkv, shape, seen, chunks).entries()) {
          expectClose(row, expected[t]!, 2e-6);
        }
      });
      for (const [sinks, window] of [[4, 9], [0, 5], [1, 1], [3, 16], [5, 0]] as const) {
        test(`${sinks} sinks and a window of ${window}, chunks of ${chunks}`, () => {
          const expected = stream(qkv, shape, sinks, window);
          const ring = window + Math.max(...chunks);
          const seen = view(sinks, window, ring, shape.pageTokens);
          for (const [t, row] of run(qkv, shape, seen, chunks).entries()) {
            expectClose(row, expected[t]!, 2e-6);
          }
        });
      }
    }

    test("one key head at a time gives the whole", () => {
      const seen = view(2, 6, 6 + TOKENS, shape.pageTokens);
      const width = (heads + 2 * kvHeads) * headDim, queries = heads * headDim;
      const kv = pool(30, shape);
      kvWrite(kv, qkv, seen, 0, TOKENS, shape);
      const table = ropeTable(9, headDim, THETA);
      const whole = new Float32Array(TOKENS * queries), parts = whole.slice();
      attentionPrefill(whole, qkv, kv, seen, 0, TOKENS, table, shape);
      const last = qkv.subarray((TOKENS - 1) * width);
      const decoded = new Float32Array(queries);
      for (let g = 0; g < kvHeads; g++) {
        attentionPrefill(parts, qkv, kv, seen, 0, TOKENS, table, shape, g, g + 1);
        attentionDecode(decoded, last, kv, seen, TOKENS - 1, table, shape, g, g + 1);
      }
      expect(parts).toEqual(whole);
      expect(Array.from(decoded)).toEqual(Array.from(rowOf(whole, TOKENS - 1, queries)));
    });
  });
}

test("kv-write puts each position in the entry that the contract names, and nothing elsewhere", () => {
  const shape: HeadShape = { heads: 2, kvHeads: 1, headDim: 2, pageTokens: 4 };
  const seen = { pages: Uint32Array.of(5, 0, 3), sinks: 3, window: 4, ring: 7 };
  const kv = pool(6, shape);
  // Position 2 is a sink; 9 is the last before the ring turns, 10 takes the entry of 3, 11 that of 4.
  for (const [position, rows] of [[2, 1], [9, 3]] as const) {
    const qkv = new Float32Array(rows * 8);
    for (let r = 0; r < rows; r++) {
      qkv.set([8, 8, 8, 8, position + r, 1, -(position + r), 2], r * 8);
    }
    kvWrite(kv, qkv, seen, position, rows, shape);
  }
  const expected = new Map([[5 * 4 + 2, 2], [0 * 4 + 0, 11], [5 * 4 + 3, 10], [3 * 4 + 1, 9]]);
  for (let row = 0; row < 24; row++) {
    const position = expected.get(row) ?? NaN;
    const one = Number.isNaN(position) ? NaN : 1;
    expect(Array.from(rowOf(kv.keys, row, 2))).toEqual([position, one]);
    expect(Array.from(rowOf(kv.values, row, 2))).toEqual([-position, 2 * one]);
  }
});

test("scores in the thousands and one overwhelming key stay finite", () => {
  const shape: HeadShape = { heads: 1, kvHeads: 1, headDim: 2, pageTokens: 2 };
  const kv = pool(2, shape);
  const seen = { pages: Uint32Array.of(0, 1), sinks: 0, window: 4, ring: 8 };
  const rows = Float32Array.of(0, 0, 1e4, 0, 1, 2, 1e4, 0, -1e4, 0, 3, 4);
  kvWrite(kv, rows, seen, 0, 2, shape);
  const out = new Float32Array(2);
  const table = { ...ropeTable(2, 2, THETA), sin: new Float32Array(2), cos: Float32Array.of(1, 1) };
  attentionDecode(out, rows.subarray(6), kv, seen, 1, table, shape);
  expect(Array.from(out)).toEqual([1, 2]);
});
