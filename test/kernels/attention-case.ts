/** A batch over shuffled pages with random keys and values, and what the CPU makes of it. */

import { attentionDecode } from "../../src/backend/cpu/attention-decode.ts";
import { type KvPages, pageRow } from "../../src/backend/cpu/kv-pages.ts";
import { ropeTable as cpuRopeTable } from "../../src/backend/cpu/rope.ts";
import type { Gpu } from "../../src/backend/gpu/context.ts";
import type { HeadShape } from "../../src/backend/gpu/head-shape.ts";
import type { KvBuffers } from "../../src/backend/gpu/kv-write.ts";
import { type RopeTable, ropeTable } from "../../src/backend/gpu/rope.ts";
import { BatchRows, type Rows } from "../../src/backend/gpu/rows.ts";
import type { Batch, SequenceView } from "../../src/model/backend.ts";
import { bound, generator, randomVector } from "./vectors.ts";

export const THETA = 10_000;

/** Rows of one sequence: `rows` of them, the first at `position`. */
export interface CaseRun {
  readonly position: number;
  readonly rows: number;
  readonly sinks: number;
  readonly window: number;
}

export interface AttentionCase {
  readonly shape: HeadShape;
  readonly batch: Batch;
  readonly qkv: Float32Array;
  readonly kv: KvPages;
  readonly slots: number;
}

/** Sequences of the given runs; their pages are handed out in random order, with pages between unused. */
export function attentionCase(
  shape: HeadShape,
  runs: readonly CaseRun[],
  seed: number,
): AttentionCase {
  const random = generator(seed);
  const wanted = runs.map((run) => {
    const ring = run.window + run.rows;
    const entries = Math.min(run.position + run.rows, run.sinks + ring);
    return { ring, pages: Math.ceil(entries / shape.pageTokens) };
  });
  const total = wanted.reduce((sum, { pages }) => sum + pages, 3);
  const free = Uint32Array.from({ length: total }, (_, i) => i);
  for (let i = total - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [free[i], free[j]] = [free[j]!, free[i]!];
  }
  let taken = 0;
  const sequences: SequenceView[] = runs.map(({ sinks, window }, i) => {
    const { ring, pages } = wanted[i]!;
    taken += pages;
    return { pages: free.slice(taken - pages, taken), sinks, window, ring };
  });
  const rows = runs.flatMap((run, sequence) =>
    Array.from({ length: run.rows }, (_, r) => ({ sequence, position: run.position + r }))
  );
  const batch = {
    tokens: new Uint32Array(rows.length),
    sequence: Uint32Array.from(rows, ({ sequence }) => sequence),
    position: Uint32Array.from(rows, ({ position }) => position),
    sequences,
    logitRows: new Uint32Array(0),
  };
  const width = (shape.heads + 2 * shape.kvHeads) * shape.headDim;
  const qkv = randomVector(random, rows.length * width);
  const kv = writtenPages(shape, batch, total, random);
  const slots = Math.max(...runs.map((run) => run.sinks + run.window + 1)) + 3;
  return { shape, batch, qkv, kv, slots };
}

/** Keys and values where a sequence has an entry; NaN where it has none, which nobody may read. */
function writtenPages(
  shape: HeadShape,
  batch: Batch,
  pages: number,
  random: () => number,
): KvPages {
  const width = shape.kvHeads * shape.headDim;
  const length = pages * shape.pageTokens * width;
  const keys = new Float32Array(length).fill(NaN);
  const values = new Float32Array(length).fill(NaN);
  batch.position.forEach((position, row) => {
    const view = batch.sequences[batch.sequence[row]!]!;
    for (let p = Math.max(0, position - view.sinks - view.ring); p <= position; p++) {
      fill(pageRow(view, p, shape.pageTokens));
    }
    for (let p = 0; p < Math.min(view.sinks, position + 1); p++) {
      fill(pageRow(view, p, shape.pageTokens));
    }
  });
  function fill(row: number): void {
    if (!Number.isNaN(keys[row * width]!)) return;
    keys.set(randomVector(random, width).map((value) => 3 * value), row * width);
    values.set(randomVector(random, width), row * width);
  }
  return { keys, values };
}

/** What the CPU twin gives, [rows, heads headDim]. */
export function expectedAttention(of: AttentionCase): Float32Array {
  const { shape, batch, qkv, kv, slots } = of;
  const table = cpuRopeTable(slots, shape.headDim, THETA);
  const queries = shape.heads * shape.headDim;
  const width = queries + 2 * shape.kvHeads * shape.headDim;
  const out = new Float32Array(batch.tokens.length * queries);
  batch.position.forEach((position, r) => {
    const view = batch.sequences[batch.sequence[r]!]!;
    const target = out.subarray(r * queries, (r + 1) * queries);
    const source = qkv.subarray(r * width, (r + 1) * width);
    attentionDecode(target, source, kv, view, position, table, shape);
  });
  return out;
}

export interface Loaded {
  readonly rows: Rows;
  readonly kv: KvBuffers;
  readonly table: RopeTable;
}

/** The case's pages, tables and rows on the device. */
export function load(gpu: Gpu, of: AttentionCase): Loaded {
  const { shape, batch, kv, slots } = of;
  const rows = new BatchRows(gpu, shape.pageTokens, batch.tokens.length).load(batch);
  return {
    rows,
    kv: { keys: bound(gpu, kv.keys), values: bound(gpu, kv.values) },
    table: ropeTable(gpu, slots, shape.headDim, THETA),
  };
}
