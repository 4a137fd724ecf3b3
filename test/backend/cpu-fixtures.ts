/** Seeded inputs for the CPU backend's tests, and comparison with what an oracle says. */

import { expect } from "bun:test";
import type { Fp8Matrix } from "../../src/backend/cpu/index.ts";

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function floats(length: number, next: () => number): Float32Array {
  return Float32Array.from({ length }, () => next() * 2 - 1);
}

/** The definition of E4M3FN, independent of the table under test. */
export function e4m3(code: number): number {
  const sign = code >= 128 ? -1 : 1;
  const exponent = Math.floor((code % 128) / 8), mantissa = code % 8;
  if (code % 128 === 127) return NaN;
  return exponent === 0
    ? sign * (mantissa / 8) * Math.pow(2, -6)
    : sign * (1 + mantissa / 8) * Math.pow(2, exponent - 7);
}

export interface MatrixOptions {
  /** Only codes whose value is subnormal. */
  readonly subnormal?: boolean;
  /** Bytes from row to row; the padding is NaN codes, so that reading it shows. */
  readonly stride?: number;
}

export function fp8Matrix(
  rows: number,
  cols: number,
  next: () => number,
  { subnormal = false, stride = cols }: MatrixOptions = {},
): Fp8Matrix {
  const codes = new Uint8Array(rows * stride).fill(0x7f);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const sign = next() < 0.5 ? 0x80 : 0;
      codes[r * stride + c] = sign + Math.floor(next() * (subnormal ? 8 : 0x7f));
    }
  }
  const scales = Float32Array.from({ length: rows }, () => 2 ** (Math.floor(next() * 7) - 12));
  return { codes, scales, rows, cols, stride };
}

/** The weights as numbers, row by row. */
export function dense({ codes, scales, rows, cols, stride }: Fp8Matrix): number[][] {
  return Array.from(
    { length: rows },
    (_, r) => Array.from({ length: cols }, (_, c) => e4m3(codes[r * stride + c]!) * scales[r]!),
  );
}

export function product(weights: number[][], x: ArrayLike<number>): number[] {
  return weights.map((row) => row.reduce((sum, w, i) => sum + w * x[i]!, 0));
}

/** silu(gate x) * (up x), gate's rows first. */
export function gated(weights: number[][], x: ArrayLike<number>): number[] {
  const width = weights.length / 2;
  const sums = product(weights, x);
  return sums.slice(0, width).map((g, i) => g / (1 + Math.exp(-g)) * sums[width + i]!);
}

/** Row r of [rows, width]. */
export function rowOf(x: Float32Array, r: number, width: number): Float32Array {
  return x.subarray(r * width, (r + 1) * width);
}

/** Equal to within `tolerance` of the largest expected value. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance = 1e-6,
): void {
  expect(actual.length).toBe(expected.length);
  const size = Math.max(1e-30, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!) / size;
    if (!(difference <= tolerance)) {
      throw new Error(`element ${i} is ${actual[i]}, expected ${expected[i]}`);
    }
  }
}
