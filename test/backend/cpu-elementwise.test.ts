/** embed, rms-norm, rope and router, against float64 written from the definition. */

import { describe, expect, test } from "bun:test";
import { embed, rmsNorm, rope, ropeTable, router } from "../../src/backend/cpu/index.ts";
import { expectClose, floats, random, rowOf } from "./cpu-fixtures.ts";

test("embed widens bf16 bits exactly, subnormals and the sign of zero included", () => {
  const bits = Uint16Array.of(0x3f80, 0xc049, 0x0001, 0x8000, 0x7f7f, 0x3eab);
  const value = (b: number) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint16(0, b);
    return view.getFloat32(0);
  };
  const out = new Float32Array(8).fill(9);
  embed(out, bits, Uint32Array.of(2, 0, 2), 2);
  const expected = [0x7f7f, 0x3eab, 0x3f80, 0xc049, 0x7f7f, 0x3eab].map(value);
  expect(Array.from(out)).toEqual([...expected, 9, 9]);
  embed(out, bits, Uint32Array.of(1), 2);
  expect(out[0]).toBe(2 ** -133);
  expect(Object.is(out[1], -0)).toBe(true);
});

describe("rms-norm", () => {
  const next = random(3);
  const rows = 3, width = 37, eps = 1e-5;
  const weight = floats(width, next);

  function expected(x: Float32Array): number[] {
    return Array.from({ length: rows }, (_, r) => {
      const row = Array.from(rowOf(x, r, width));
      const mean = row.reduce((sum, v) => sum + v * v, 0) / width;
      return row.map((v, c) => v / Math.sqrt(mean + eps) * weight[c]!);
    }).flat();
  }

  for (const size of [1, 1e-4, 1e15]) {
    test(`of values around ${size}`, () => {
      const x = floats(rows * width, next).map((v) => v * size);
      const out = new Float32Array(rows * width);
      rmsNorm(out, x, weight, rows, width, eps);
      expectClose(out, expected(x));
      const want = expected(x);
      rmsNorm(x, x, weight, rows, width, eps);
      expectClose(x, want);
    });
  }
  test("of zeros is zero", () => {
    const out = new Float32Array(rows * width).fill(1);
    rmsNorm(out, new Float32Array(rows * width), weight, rows, width, eps);
    expect(out.every((v) => v === 0)).toBe(true);
  });
});

describe("rope", () => {
  const heads = 3, headDim = 8, theta = 10_000, width = 5 * headDim;

  test("pairs i with i + headDim / 2 and turns by slot * theta^(-2i/headDim)", () => {
    const next = random(4);
    const slots = Uint32Array.of(0, 5, 4095);
    const qkv = floats(slots.length * width, next);
    const expected = Array.from(qkv);
    for (const [r, slot] of slots.entries()) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < headDim / 2; i++) {
          const angle = slot * Math.pow(theta, -2 * i / headDim);
          const a = r * width + h * headDim + i, b = a + headDim / 2;
          expected[a] = qkv[a]! * Math.cos(angle) - qkv[b]! * Math.sin(angle);
          expected[b] = qkv[b]! * Math.cos(angle) + qkv[a]! * Math.sin(angle);
        }
      }
    }
    rope(qkv, slots, ropeTable(4096, headDim, theta), heads, width);
    expectClose(qkv, expected);
  });

  test("leaves slot 0, the keys and the values as they are", () => {
    const next = random(5);
    const qkv = floats(2 * width, next);
    const before = qkv.slice();
    rope(qkv, Uint32Array.of(0, 3), ropeTable(4, headDim, theta), heads, width);
    expect(qkv.subarray(0, width)).toEqual(before.subarray(0, width));
    expect(rowOf(qkv, 1, width).subarray(heads * headDim)).toEqual(
      rowOf(before, 1, width).subarray(heads * headDim),
    );
    expect(rowOf(qkv, 1, width)).not.toEqual(rowOf(before, 1, width));
  });
});

describe("router", () => {
  /** Routes one row whose logits are given: the router is [count, 1] and x is 1. */
  function route(logits: number[], k: number) {
    const experts = new Uint32Array(k), weights = new Float32Array(k);
    const matrix = Float32Array.from(logits);
    router(experts, weights, Float32Array.of(1), matrix, 1, 1, logits.length, k);
    return { experts: Array.from(experts), weights };
  }

  test("against float64, several rows", () => {
    const next = random(6);
    const rows = 9, width = 21, count = 16;
    const x = floats(rows * width, next).map((v) => v * 3), matrix = floats(count * width, next);
    for (const k of [1, 2, 4, count]) {
      const experts = new Uint32Array(rows * k), weights = new Float32Array(rows * k);
      router(experts, weights, x, matrix, rows, width, count, k);
      for (let r = 0; r < rows; r++) {
        const e = Array.from({ length: count }, (_, i) => {
          let sum = 0;
          for (let c = 0; c < width; c++) sum += matrix[i * width + c]! * x[r * width + c]!;
          return Math.exp(sum);
        });
        const order = e.map((_, i) => i).sort((a, b) => e[b]! - e[a]!).slice(0, k);
        const total = (k > 1 ? order.map((i) => e[i]!) : e).reduce((a, b) => a + b, 0);
        expect(Array.from(experts.subarray(r * k, (r + 1) * k))).toEqual(order);
        expectClose(weights.subarray(r * k, (r + 1) * k), order.map((i) => e[i]! / total));
      }
    }
  });

  test("ties go to the lower id, also where the tie decides who is chosen", () => {
    expect(route([1, 3, 3, 3], 2).experts).toEqual([1, 2]);
    expect(route([2, 5, 2, 2], 3).experts).toEqual([1, 0, 2]);
    const { experts, weights } = route([0, 0, 0, 0], 2);
    expect(experts).toEqual([0, 1]);
    expectClose(weights, [0.5, 0.5]);
  });

  test("one expert keeps its raw probability", () => {
    const { experts, weights } = route([0, 1, 0], 1);
    expect(experts).toEqual([1]);
    expectClose(weights, [Math.E / (Math.E + 2)]);
  });

  test("two experts share 1 whatever the rest weigh", () => {
    expectClose(route([2, 1, 2, 1.9], 2).weights, [0.5, 0.5]);
  });

  test("logits far apart or far from zero do not overflow", () => {
    expectClose(route([1e4, -1e4, 1e4 - 1], 2).weights, [1 / (1 + 1 / Math.E), 1 / (1 + Math.E)]);
    expectClose(route([-2000, -2001], 2).weights, [1 / (1 + 1 / Math.E), 1 / (1 + Math.E)]);
    expect(route([500, -500, -600], 2).experts).toEqual([0, 1]);
  });

  test("a NaN logit is not preferred, and what is made of it shows", () => {
    const { experts } = route([NaN, 1, 2], 2);
    expect(experts).toEqual([2, 1]);
    expect(route([NaN, NaN], 1).weights[0]).toBeNaN();
  });
});
