/**
 * OCP E4M3FN: sign, 4 exponent bits of bias 7, 3 mantissa bits; no infinities, the codes 0x7F and
 * 0xFF are NaN, the largest number is 448 (OCP 8-bit Floating Point Specification, revision 1.0,
 * section 5.3.2). A row of weights is stored as codes and one scale 2^k, the least k for which the
 * row's largest magnitude is at most 448 x 2^k; so encoding never saturates, multiplying by a scale
 * never rounds, and values that lie on the grid times any power of two come back bit for bit.
 */

import { ArcticError } from "../src/errors.ts";
import type { SourceDtype } from "./safetensors.ts";

export const E4M3_MAX = 448;

/** Scales stay normal f32 numbers, whatever the row. */
const MIN_EXPONENT = -126;

const floatView = new Float32Array(1);
const bitsView = new Uint32Array(floatView.buffer);

/** Bits of an f32. */
export function floatBits(value: number): number {
  floatView[0] = value;
  return bitsView[0] ?? 0;
}

/** The f32 of given bits. */
export function bitsFloat(bits: number): number {
  bitsView[0] = bits;
  return floatView[0] ?? 0;
}

/** Value of each of the 256 codes. */
export const e4m3Values: Float32Array = Float32Array.from({ length: 256 }, (_, code) => {
  const magnitude = code & 0x7f;
  if (magnitude === 0x7f) return NaN;
  const mantissa = magnitude & 7;
  const exponent = magnitude >> 3;
  const value = exponent === 0 ? mantissa * 2 ** -9 : (1 + mantissa / 8) * 2 ** (exponent - 7);
  return code < 0x80 ? value : -value;
});

/** Adding and taking away 2^52 rounds a double below 2^51 to a whole number, ties to even. */
const ROUNDER = 2 ** 52;

/** Steps in a unit, for exponents from -6 to 8. */
const STEPS = Float64Array.from({ length: 15 }, (_, i) => 2 ** (9 - i));

/** The nearest code, ties to the even one; beyond 448 saturates. `value` must be a number. */
export function encodeE4m3(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= E4M3_MAX) return sign | 0x7e;
  // Below 2^-6 the step is that of the subnormals.
  const exponent = Math.max((floatBits(magnitude) >>> 23) - 127, -6);
  const steps = (magnitude * (STEPS[exponent + 6] as number) + ROUNDER) - ROUNDER;
  // 8..16 steps of a normal number, 0..8 of a subnormal: a carry moves on to the next exponent.
  return sign | Math.min(((exponent + 6) << 3) + steps, 0x7e);
}

/**
 * The exponent k of a row's scale.
 * @param bits f32 bits of the row's largest magnitude, finite
 */
export function scaleExponent(bits: number): number {
  if (bits === 0) return 0;
  const exponent = (bits >>> 23) - 127;
  // 448 = 1.75 x 2^8
  const k = exponent - 8 + ((bits & 0x7fffff) > 0x600000 ? 1 : 0);
  return Math.max(k, MIN_EXPONENT);
}

export type CodeTable = Uint8Array;

/** The code of value / 2^k for every bf16 bit pattern; patterns that are no number get a NaN code. */
export function bf16CodeTable(k: number): CodeTable {
  const table = new Uint8Array(65_536);
  const unscale = 2 ** -k;
  for (let pattern = 0; pattern < 65_536; pattern++) {
    const value = bitsFloat((pattern << 16) >>> 0);
    table[pattern] = Number.isFinite(value) ? encodeE4m3(value * unscale) : 0x7f;
  }
  return table;
}

/** f32 value of every f16 bit pattern (IEEE 754 binary16). */
export function f16Values(): Float32Array {
  return Float32Array.from({ length: 65_536 }, (_, pattern) => {
    const mantissa = pattern & 0x3ff;
    const exponent = (pattern >> 10) & 0x1f;
    const sign = pattern < 0x8000 ? 1 : -1;
    if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN;
    if (exponent === 0) return sign * mantissa * 2 ** -24;
    return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  });
}

/** bf16 bits of an f32, to nearest, ties to even; a carry may reach infinity. */
export function bf16Bits(floatBits: number): number {
  return ((floatBits + 0x7fff + ((floatBits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Encodes rows of one source tensor; holds the tables that make it fast. */
export class RowEncoder {
  private readonly tables = new Map<number, CodeTable>();

  private table(k: number): CodeTable {
    let table = this.tables.get(k);
    if (table === undefined) {
      table = bf16CodeTable(k);
      this.tables.set(k, table);
    }
    return table;
  }

  /**
   * Encodes one bf16 row into out[at .. at + row.length); the exponent of its scale.
   * Returns NaN, with nothing written, when the row holds NaN or an infinity.
   */
  bf16(row: Uint16Array, out: Uint8Array, at: number): number {
    let top = 0;
    for (let i = 0; i < row.length; i++) {
      const magnitude = (row[i] as number) & 0x7fff;
      if (magnitude > top) top = magnitude;
    }
    if (top >= 0x7f80) return NaN;
    const k = scaleExponent(top << 16);
    const table = this.table(k);
    for (let i = 0; i < row.length; i++) out[at + i] = table[row[i] as number] as number;
    return k;
  }

  /** The same for an f32 row, given as its bits. */
  f32(row: Uint32Array, out: Uint8Array, at: number): number {
    let top = 0;
    for (let i = 0; i < row.length; i++) {
      const magnitude = (row[i] as number) & 0x7fffffff;
      if (magnitude > top) top = magnitude;
    }
    if (top >= 0x7f800000) return NaN;
    const k = scaleExponent(top);
    const unscale = 2 ** -k;
    const leastNormal = (127 + k - 6) << 23;
    const bias = (120 + k) << 3;
    for (let i = 0; i < row.length; i++) {
      const bits = row[i] as number;
      const magnitude = bits & 0x7fffffff;
      if (magnitude >= leastNormal && leastNormal >= 0x800000) {
        // Exponent and mantissa side by side: rounding off 20 of 23 mantissa bits carries by itself.
        const rounded = (magnitude + 0x7ffff + ((magnitude >>> 20) & 1)) >>> 20;
        out[at + i] = (rounded - bias) | (bits >>> 31 << 7);
      } else {
        out[at + i] = encodeE4m3(bitsFloat(bits) * unscale);
      }
    }
    return k;
  }
}

/** Position of the first NaN or infinity, -1 without one. */
export function firstNotFinite(bits: Uint16Array | Uint32Array, dtype: SourceDtype): number {
  const exponent = dtype === "BF16" ? 0x7f80 : dtype === "F16" ? 0x7c00 : 0x7f800000;
  for (let i = 0; i < bits.length; i++) {
    if (((bits[i] as number) & exponent) === exponent) return i;
  }
  return -1;
}

/** A scale that a kernel may rely on: a positive, normal, finite power of two. */
export function isScale(value: number): boolean {
  const bits = floatBits(value);
  const exponent = bits >>> 23;
  return (bits & 0x7fffff) === 0 && exponent >= 1 && exponent <= 254;
}

/** @throws ArcticError `weights_bad_scale` naming the row */
export function checkScales(name: string, scales: Float32Array): void {
  for (let row = 0; row < scales.length; row++) {
    const scale = scales[row] as number;
    if (isScale(scale)) continue;
    throw new ArcticError(
      "weights_bad_scale",
      `${name} has the scale ${scale} in row ${row}; scales are positive powers of two. The model ` +
        "is damaged: `arctic verify` says where, converting again repairs it.",
    );
  }
}

/** NaN codes among stored codes. */
export function countNanCodes(codes: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < codes.length; i++) {
    if (((codes[i] as number) & 0x7f) === 0x7f) count++;
  }
  return count;
}
