/** The CPU backend as a whole, over weights held in memory. */

import { describe, expect, test } from "bun:test";
import { CpuBackend, openCpuBackend } from "../../src/backend/cpu/index.ts";
import { Threads } from "../../src/backend/cpu/threads.ts";
import type { Activations, Batch, SequenceView, WeightSource } from "../../src/model/backend.ts";
import type { StoredDtype, StoredTensor } from "../../weights-manifest/schema.ts";
import {
  dense,
  expectClose,
  floats,
  fp8Matrix,
  gated,
  product,
  random,
  rowOf,
} from "./cpu-fixtures.ts";

const HIDDEN = 20, INTERMEDIATE = 12, EXPERTS = 5, VOCABULARY = 30;
const HEADS = 4, KV_HEADS = 2, HEAD_DIM = 6;
const QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM;

const next = random(11);
const matrices = {
  head: fp8Matrix(VOCABULARY, HIDDEN, next, { stride: 32 }),
  gateUp: fp8Matrix(2 * INTERMEDIATE, HIDDEN, next, { stride: 32 }),
  experts: Array.from({ length: EXPERTS }, () => ({
    gateUp: fp8Matrix(2 * INTERMEDIATE, HIDDEN, next, { stride: 32 }),
    down: fp8Matrix(HIDDEN, INTERMEDIATE, next, { stride: 16 }),
  })),
};

/** A shard written piece by piece, and what is in it. */
class Shard {
  readonly bytes = new Uint8Array(1 << 16);
  #end = 0;

  add(data: Uint8Array): { offset: number; bytes: number } {
    const offset = this.#end;
    this.bytes.set(data, offset);
    this.#end = Math.ceil((offset + data.length) / 256) * 256;
    return { offset, bytes: data.length };
  }

  tensor(name: string, dtype: StoredDtype, rows: number, cols: number, data: Uint8Array) {
    const stride = data.length / rows;
    const range = this.add(data);
    return { ...rest, name, dtype, rows, cols, stride, data: range, scales: null };
  }

  fp8(name: string, { codes, scales, rows, cols, stride }: typeof matrices.head): StoredTensor {
    const data = this.add(codes), scaleRange = this.add(new Uint8Array(scales.buffer));
    return { ...rest, name, dtype: "e4m3", rows, cols, stride, data, scales: scaleRange };
  }
}
const rest = { shard: 0, sources: [], sha256: null };

const shard = new Shard();
const tensors = {
  head: shard.fp8("head", matrices.head),
  gateUp: shard.fp8("layers.0.mlp.gate_up", matrices.gateUp),
  norm: shard.tensor("norm", "f32", 1, HIDDEN, bytesOf(floats(HIDDEN, next))),
  router: shard.tensor("router", "f32", EXPERTS, HIDDEN, bytesOf(floats(EXPERTS * HIDDEN, next))),
  embedding: shard.tensor(
    "embedding",
    "bf16",
    VOCABULARY,
    HIDDEN,
    new Uint8Array(VOCABULARY * HIDDEN * 2).map((_, i) => i % 2 === 0 ? i % 251 : 0x3f),
  ),
};
const experts = matrices.experts.map(({ gateUp, down }, expert) => {
  const stored = {
    gateUp: shard.fp8(`experts.${expert}.gate_up`, gateUp),
    down: shard.fp8(`experts.${expert}.down`, down),
  };
  const { offset } = stored.gateUp.data;
  const end = stored.down.scales!.offset + stored.down.scales!.bytes;
  return { layer: 0, expert, shard: 0, range: { offset, bytes: end - offset }, ...stored };
});

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const source: WeightSource = {
  config: {
    family: "arctic",
    hiddenSize: HIDDEN,
    layers: 1,
    heads: HEADS,
    kvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    intermediateSize: INTERMEDIATE,
    experts: EXPERTS,
    expertsPerToken: 2,
    vocabulary: VOCABULARY,
    contextTokens: 64,
    ropeTheta: 10_000,
    normEps: 1e-5,
    tiedEmbeddings: false,
    bosToken: 0,
    eosToken: 1,
    layerKinds: ["parallel-moe"],
  },
  tensor: () => {
    throw new Error("not asked for by name here");
  },
  expert: (_, expert) => experts[expert]!,
  mapped: (_, offset, bytes) => shard.bytes.subarray(offset, offset + bytes),
  withBytes: (_, offset, bytes, use) => {
    const window = shard.bytes.slice(offset, offset + bytes);
    try {
      return use(window);
    } finally {
      // What a caller keeps reads as empty, as after an unmapping.
      window.buffer.transfer(0);
    }
  },
};

const options = { maxRows: 8, maxLogitRows: 4, pages: 12, slots: 64 };
const open = async () => new CpuBackend(source, options, await Threads.open(1));

const pages = (first: number) => Uint32Array.of(first, first + 1, first + 2);
const whole: SequenceView = { pages: pages(0), sinks: 0, window: 40, ring: 48 };

function batch(rows: number, logitRows: number[] = [], position = 0): Batch {
  return {
    tokens: Uint32Array.from({ length: rows }, (_, r) => (7 * r + 3) % VOCABULARY),
    sequence: new Uint32Array(rows),
    position: Uint32Array.from({ length: rows }, (_, r) => position + r),
    sequences: [whole],
    logitRows: Uint32Array.from(logitRows),
  };
}

/** Fills an activation by way of the table of a backend's own: its data is nobody else's. */
function dataOf(activations: Activations): Float32Array {
  return (activations as Activations & { data: Float32Array }).data;
}

describe("ops on a batch", () => {
  for (const rows of [1, 5]) {
    test(`embed, norm, gate-up and logits of ${rows} rows`, async () => {
      const backend = await open();
      const x = backend.activations(HIDDEN), y = backend.activations(HIDDEN);
      const inner = backend.activations(INTERMEDIATE);
      const table = await backend.table(tensors.embedding);
      const norm = await backend.weights(tensors.norm);
      const wanted = rows === 1 ? [0] : [1, 4];
      const current = batch(rows, wanted);
      backend.begin(current);
      backend.embed(x, table);
      const bits = new Uint16Array(shard.bytes.buffer, tensors.embedding.data.offset);
      const embedded = Array.from(current.tokens).flatMap((token) =>
        Array.from(
          { length: HIDDEN },
          (_, c) => new Float32Array(Uint32Array.of(bits[token * HIDDEN + c]! << 16).buffer)[0]!,
        )
      );
      expect(Array.from(dataOf(x).subarray(0, rows * HIDDEN))).toEqual(embedded);

      backend.rmsNorm([y, x], x, [norm, norm], 1e-5);
      expect(dataOf(x)).toEqual(dataOf(y));

      const input = Array.from({ length: rows }, (_, r) => rowOf(dataOf(y), r, HIDDEN));
      backend.gateUp(inner, await backend.matrix(tensors.gateUp), y);
      expectClose(
        dataOf(inner).subarray(0, rows * INTERMEDIATE),
        input.flatMap((row) => gated(dense(matrices.gateUp), row)),
      );
      const logits = await backend.logits(await backend.matrix(tensors.head), y);
      expectClose(logits, wanted.flatMap((r) => product(dense(matrices.head), input[r]!)));
      backend.close();
    });

    test(`linear of ${rows} rows replaces or adds`, async () => {
      const backend = await open();
      const x = backend.activations(HIDDEN), out = backend.activations(VOCABULARY);
      const head = await backend.matrix(tensors.head);
      dataOf(x).set(floats(rows * HIDDEN, random(2)));
      backend.begin(batch(rows));
      backend.linear(out, head, x, false);
      const once = dataOf(out).slice(0, rows * VOCABULARY);
      const expected = Array.from(
        { length: rows },
        (_, r) => product(dense(matrices.head), rowOf(dataOf(x), r, HIDDEN)),
      ).flat();
      expectClose(once, expected);
      backend.linear(out, head, x, true);
      expectClose(dataOf(out).subarray(0, rows * VOCABULARY), expected.map((v) => 2 * v));
      expect(dataOf(out).subarray(rows * VOCABULARY).every((v) => v === 0)).toBe(true);
    });

    test(`the mixture of ${rows} rows`, async () => {
      const backend = await open();
      const x = backend.activations(HIDDEN), out = backend.activations(HIDDEN);
      dataOf(x).set(floats(rows * HIDDEN, random(3)));
      dataOf(out).set(floats(rows * HIDDEN, random(4)));
      const before = Array.from(dataOf(out).subarray(0, rows * HIDDEN));
      backend.begin(batch(rows));
      const routing = await backend.route(x, await backend.weights(tensors.router));
      expect(routing.experts.length).toBe(2 * rows);
      await backend.expertMlp(out, await backend.experts(0), routing, x);
      const expected = before;
      for (let i = 0; i < 2 * rows; i++) {
        const r = Math.floor(i / 2), expert = matrices.experts[routing.experts[i]!]!;
        const inner = gated(dense(expert.gateUp), rowOf(dataOf(x), r, HIDDEN));
        for (const [c, value] of product(dense(expert.down), inner).entries()) {
          expected[r * HIDDEN + c]! += routing.weights[i]! * value;
        }
      }
      expectClose(dataOf(out).subarray(0, rows * HIDDEN), expected);
    });
  }

  test("no logit rows give no logits", async () => {
    const backend = await open();
    backend.begin(batch(2));
    const head = await backend.matrix(tensors.head);
    expect(await backend.logits(head, backend.activations(HIDDEN))).toEqual(new Float32Array(0));
  });

  test("weights are read where they are mapped", async () => {
    const backend = await open();
    const head = await backend.matrix(tensors.head);
    const x = backend.activations(HIDDEN);
    dataOf(x).fill(1);
    backend.begin(batch(1, [0]));
    const before = (await backend.logits(head, x)).slice();
    const at = tensors.head.scales!.offset + 3;
    shard.bytes[at]! ^= 0x80;
    const after = await backend.logits(head, x);
    shard.bytes[at]! ^= 0x80;
    expect(after[0]).toBe(-before[0]!);
    expect(after.subarray(1)).toEqual(before.subarray(1));
  });
});

describe("sequences", () => {
  /** Runs one attention over batches; each row is [sequence, position]. */
  async function attend(batches: [number, number][][], qkvOf: (s: number, t: number) => number) {
    const backend = await open();
    const kv = backend.kv(0);
    const qkv = backend.activations(QKV), out = backend.activations(HEADS * HEAD_DIM);
    const sequences = [
      { ...whole, pages: pages(3) },
      { pages: pages(6), sinks: 2, window: 5, ring: 13 },
    ];
    const seen = new Map<string, number[]>();
    for (const rows of batches) {
      backend.begin({
        tokens: new Uint32Array(rows.length),
        sequence: Uint32Array.from(rows, ([s]) => s),
        position: Uint32Array.from(rows, ([, t]) => t),
        sequences,
        logitRows: new Uint32Array(0),
      });
      for (const [r, [s, t]] of rows.entries()) {
        dataOf(qkv).set(floats(QKV, random(qkvOf(s, t))), r * QKV);
      }
      backend.kvWrite(kv, qkv);
      backend.rope(qkv);
      backend.attention(out, qkv, kv);
      for (const [r, [s, t]] of rows.entries()) {
        seen.set(`${s}:${t}`, Array.from(rowOf(dataOf(out), r, HEADS * HEAD_DIM)));
      }
    }
    return seen;
  }
  const singly = Array.from({ length: 40 }, (_, i): [number, number][] => [[i % 2, i >> 1]]);
  const seed = (s: number, t: number) => 100 * s + t;

  test("of one batch do not see each other, however a batch mixes them", async () => {
    const alone = await attend(singly, seed);
    const mixed = await attend([
      [[0, 0], [0, 1], [0, 2], [1, 0]],
      [[1, 1], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6], [1, 7], [0, 3]],
      [[0, 4], [1, 8]],
      [[1, 9], [1, 10], [1, 11], [1, 12], [0, 5], [0, 6], [0, 7]],
    ], seed);
    expect(mixed.size).toBe(21);
    for (const [row, values] of mixed) expectClose(values, alone.get(row)!);
  });

  test("with other keys give other results", async () => {
    const one = await attend([[[0, 0]], [[0, 1]]], seed);
    const other = await attend([[[0, 0]], [[0, 1]]], (s, t) => seed(s, t) + (t === 0 ? 50 : 0));
    expect(other.get("0:1")).not.toEqual(one.get("0:1"));
  });
});

describe("a row that is NaN", () => {
  /** The mixture's output of a batch whose middle row is filled with `value`, and its routing. */
  async function mixture(value: number) {
    const backend = await open();
    const x = backend.activations(HIDDEN), out = backend.activations(HIDDEN);
    dataOf(x).set(floats(3 * HIDDEN, random(3)));
    dataOf(x).fill(value, HIDDEN, 2 * HIDDEN);
    backend.begin(batch(3));
    const routing = await backend.route(x, await backend.weights(tensors.router));
    await backend.expertMlp(out, await backend.experts(0), routing, x);
    return { routing, out: [0, 1, 2].map((r) => Array.from(rowOf(dataOf(out), r, HIDDEN))) };
  }

  test("gets experts and NaN weights, and the rows beside it do not notice", async () => {
    const healthy = await mixture(0.5), ill = await mixture(NaN);
    expect([...ill.routing.experts.subarray(2, 4)]).toEqual([0, 1]);
    expect([...ill.routing.weights.subarray(2, 4)]).toEqual([NaN, NaN]);
    expect(ill.out[1]!.every(Number.isNaN)).toBe(true);
    for (const r of [0, 2]) expect(ill.out[r]).toEqual(healthy.out[r]!);
    expect(healthy.out.flat().every(Number.isFinite)).toBe(true);
  });
});

describe("what must not pass", () => {
  test("an expert that cannot be read is a rejection, not a throw", async () => {
    const failing = {
      ...source,
      withBytes: () => {
        throw new Error("gone");
      },
    };
    const backend = await openCpuBackend(failing, options, 1);
    const x = backend.activations(HIDDEN);
    backend.begin(batch(1));
    const routing = await backend.route(x, await backend.weights(tensors.router));
    const layer = await backend.experts(0);
    expect(backend.expertMlp(x, layer, routing, x)).rejects.toThrow("gone");
  });

  test("handles of another backend, other shapes, bad batches", async () => {
    const backend = await open();
    const x = backend.activations(HIDDEN), narrow = backend.activations(HIDDEN - 1);
    const head = await backend.matrix(tensors.head);
    const logits = backend.activations(VOCABULARY);
    expect(() => backend.linear(logits, head, x, false)).toThrow("before the batch has begun");
    backend.begin(batch(1));
    expect(() => backend.linear(x, { rows: HIDDEN, cols: HIDDEN }, x, false)).toThrow("another");
    expect(() => backend.linear(x, head, narrow, false)).toThrow("another shape");
    expect(() => backend.begin(batch(9))).toThrow("9 rows, 8 at most");
    const few = { ...batch(1, [], 16), sequences: [{ ...whole, pages: Uint32Array.of(0) }] };
    expect(() => backend.begin(few)).toThrow("17 entries in 1 pages");
    const gap = { ...batch(2), position: Uint32Array.of(0, 2) };
    expect(() => backend.begin(gap)).toThrow("in order");
    const foreign = { ...batch(1), sequences: [{ ...whole, pages: Uint32Array.of(12) }] };
    expect(() => backend.begin(foreign)).toThrow("beyond the pool");
    const short = { sinks: 1, window: 6, ring: 7, pages: pages(0) };
    expect(() => backend.begin({ ...batch(2, [], 20), sequences: [short] })).toThrow("a ring of 7");
    expect(() => backend.begin({ ...batch(1, [], 20), sequences: [short] })).not.toThrow();
    expect(() => backend.table(tensors.head)).toThrow("not bf16");
    expect(() => backend.weights(tensors.head)).toThrow("not f32");
    expect(() => backend.matrix(tensors.norm)).toThrow("not e4m3");
  });
});

test("memory counts weights and the pool of keys and values", async () => {
  const backend = await open();
  await backend.matrix(tensors.head);
  await backend.experts(0);
  backend.kv(0);
  const head = VOCABULARY * 32 + VOCABULARY * 4;
  expect(backend.memory()).toEqual({
    weightBytes: head + experts.reduce((sum, { range }) => sum + range.bytes, 0),
    kvBytes: 2 * 12 * 16 * KV_HEADS * HEAD_DIM * 4,
  });
});
