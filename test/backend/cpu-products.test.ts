/** Products with FP8 weights, against float64 written from the definition. */

import { describe, expect, test } from "bun:test";
import {
  e4m3Values,
  expertDown,
  expertGateUp,
  gateUpMatmulFp8,
  gateUpMatvecFp8,
  matmulFp8,
  matvecFp8,
} from "../../src/backend/cpu/index.ts";
import {
  dense,
  e4m3,
  expectClose,
  floats,
  fp8Matrix,
  gated,
  product,
  random,
  rowOf,
} from "./cpu-fixtures.ts";

test("all 256 codes", () => {
  for (let code = 0; code < 256; code++) expect(e4m3Values[code]).toBe(e4m3(code));
  expect([0x01, 0x07, 0x08, 0x38, 0x7e, 0xfe].map((code) => e4m3Values[code])).toEqual(
    [2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 448, -448],
  );
  expect([e4m3Values[0x7f], e4m3Values[0xff]]).toEqual([NaN, NaN]);
  expect(Object.is(e4m3Values[0x80], -0)).toBe(true);
});

/** rows, columns, stride: not multiples of the block, smaller than it, padded. */
const shapes = [[1, 1, 16], [2, 3, 3], [5, 36, 48], [8, 16, 16], [13, 33, 48], [64, 70, 80]];

for (const [rows = 0, cols = 0, stride = 0] of shapes) {
  describe(`a matrix of ${rows} x ${cols}, ${stride} bytes a row`, () => {
    const next = random(rows * 1000 + cols);
    for (const subnormal of [false, true]) {
      const codes = subnormal ? "subnormal codes" : "any codes";
      const matrix = fp8Matrix(rows, cols, next, { stride, subnormal });
      const weights = dense(matrix);

      test(`matvec, ${codes}`, () => {
        const x = floats(cols, next), out = floats(rows, next);
        const before = out.slice();
        matvecFp8(out, matrix, x, true);
        const sums = product(weights, x);
        expectClose(out, sums.map((sum, i) => sum + before[i]!));
        matvecFp8(out, matrix, x, false);
        expectClose(out, sums);
      });

      test(`matmul, ${codes}`, () => {
        for (const tokens of [1, 2, 3, 6]) {
          const x = floats(tokens * cols, next), out = floats(tokens * rows, next);
          const before = out.slice();
          matmulFp8(out, matrix, x, tokens, true);
          const sums = Array.from({ length: tokens }, (_, t) => product(weights, rowOf(x, t, cols)))
            .flat();
          expectClose(out, sums.map((sum, i) => sum + before[i]!));
          matmulFp8(out, matrix, x, tokens, false);
          expectClose(out, sums);
        }
      });
    }

    const pair = fp8Matrix(2 * rows, cols, next, { stride });
    const weights = dense(pair);

    test("gate-up, one row and several", () => {
      const tokens = 7;
      const x = floats(tokens * cols, next);
      const expected = Array.from({ length: tokens }, (_, t) => gated(weights, rowOf(x, t, cols)));
      const one = new Float32Array(rows), all = new Float32Array(tokens * rows);
      gateUpMatvecFp8(one, pair, x);
      expectClose(one, expected[0]!);
      gateUpMatmulFp8(all, pair, x, tokens);
      expectClose(all, expected.flat());
    });

    test("an expert on the rows that chose it", () => {
      const down = fp8Matrix(cols, rows, next, { stride: Math.ceil(rows / 16) * 16 });
      const x = floats(5 * cols, next);
      for (const chosen of [[3], [1, 4], [0, 1, 2, 3, 4]]) {
        const gates = floats(chosen.length, next);
        const out = floats(5 * cols, next);
        const expected = Array.from(out);
        for (const [i, r] of chosen.entries()) {
          const inner = gated(weights, rowOf(x, r, cols));
          for (const [c, value] of product(dense(down), inner).entries()) {
            expected[r * cols + c]! += gates[i]! * value;
          }
        }
        const inner = new Float32Array(chosen.length * rows);
        expertGateUp(inner, pair, x, Uint32Array.from(chosen));
        expertDown(out, down, inner, Uint32Array.from(chosen), gates);
        expectClose(out, expected);
      }
    });
  });
}

describe("a part of the rows", () => {
  const next = random(7);
  const matrix = fp8Matrix(22, 20, next);
  const x = floats(6 * 20, next);

  /** Computes [0, 22) in parts, and checks that a part touches nothing but its own columns. */
  function inParts(width: number, rows: number, compute: Compute): void {
    const whole = new Float32Array(rows * width);
    compute(whole, 0, width);
    const parts = new Float32Array(rows * width).fill(NaN);
    compute(parts, 3, 8);
    for (const [i, value] of parts.entries()) {
      expect(Number.isNaN(value)).toBe(i % width < 3 || i % width >= 8);
    }
    compute(parts, 0, 3);
    compute(parts, 8, width);
    expectClose(parts, whole);
  }
  type Compute = (out: Float32Array, from: number, to: number) => void;

  test("matvec", () => inParts(22, 1, (out, a, b) => matvecFp8(out, matrix, x, false, a, b)));
  test("matmul", () => {
    for (const rows of [3, 6]) {
      inParts(22, rows, (out, a, b) => matmulFp8(out, matrix, x, rows, false, a, b));
    }
  });
  test("gate-up", () => {
    inParts(11, 1, (out, a, b) => gateUpMatvecFp8(out, matrix, x, a, b));
    for (const rows of [3, 6]) {
      inParts(11, rows, (out, a, b) => gateUpMatmulFp8(out, matrix, x, rows, a, b));
    }
  });
  test("experts", () => {
    for (const rows of [[0], [0, 1, 2], [0, 1, 2, 3, 4, 5]].map((r) => Uint32Array.from(r))) {
      inParts(11, rows.length, (out, a, b) => expertGateUp(out, matrix, x, rows, a, b));
      inParts(22, rows.length, (out, a, b) => {
        const cleared = out.subarray(0);
        for (const r of rows) cleared.fill(0, r * 22 + a, r * 22 + b);
        expertDown(out, matrix, x, rows, Float32Array.of(0.5, 2, -1, 1, 3, -2), a, b);
      });
    }
  });
});

test("an activation of 1e30 and a gate far below zero stay what float64 says", () => {
  const matrix = { ...fp8Matrix(2, 1, random(1)), codes: Uint8Array.of(0xb8, 0x38) };
  matrix.scales.fill(1);
  const out = new Float32Array(1);
  gateUpMatvecFp8(out, matrix, Float32Array.of(1e30));
  expect(Object.is(out[0], -0)).toBe(true);
  matvecFp8(out, { ...matrix, rows: 1 }, Float32Array.of(1e30), false);
  expect(out[0]).toBe(Math.fround(-1e30));
});
