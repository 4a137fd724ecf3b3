/**
 * OCP E4M3FN: sign, 4 exponent bits of bias 7, 3 mantissa bits; no infinities, the codes 0x7F and
 * 0xFF are NaN, the largest number is 448 (OCP 8-bit Floating Point Specification, revision 1.0,
 * section 5.3.2). A row of weights is stored as codes and one scale s x 2^k: k is the least for which
 * the row's largest magnitude is at most 448 x 2^k, so encoding never saturates; s has 4 bits, so
 * code x scale never rounds in f32. row-scale.ts chooses s.
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
 * The exponent k of a row's scale: the least for which 448 x 2^k holds the row.
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

/** The code of value / scale for every bf16 bit pattern; patterns that are no number get a NaN code. */
export function bf16CodeTable(scale: number): CodeTable {
  const table = new Uint8Array(65_536);
  for (let pattern = 0; pattern < 65_536; pattern++) {
    const value = bitsFloat((pattern << 16) >>> 0);
    table[pattern] = Number.isFinite(value) ? encodeE4m3(value / scale) : 0x7f;
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

/** Position of the first NaN or infinity, -1 without one. */
export function firstNotFinite(bits: Uint16Array | Uint32Array, dtype: SourceDtype): number {
  const exponent = dtype === "BF16" ? 0x7f80 : dtype === "F16" ? 0x7c00 : 0x7f800000;
  for (let i = 0; i < bits.length; i++) {
    if (((bits[i] as number) & exponent) === exponent) return i;
  }
  return -1;
}

/** A scale that a kernel may rely on: positive, finite and not subnormal. */
export function isScale(value: number): boolean {
  const bits = floatBits(value);
  return bits >= 0x800000 && bits < 0x7f800000;
}

/** @throws ArcticError `weights_bad_scale` naming the row */
export function checkScales(name: string, scales: Float32Array): void {
  for (let row = 0; row < scales.length; row++) {
    const scale = scales[row] as number;
    if (isScale(scale)) continue;
    throw new ArcticError(
      "weights_bad_scale",
      `${name} has the scale ${scale} in row ${row}; scales are positive, finite and not subnormal. The model ` +
        "is damaged: `arctic verify` says where, converting again repairs it.",
    );
  }
}

/** Whether there is a NaN code among stored codes: two searches at the speed of memory. */
export function hasNanCode(codes: Uint8Array): boolean {
  return codes.includes(0x7f) || codes.includes(0xff);
}

/** NaN codes among stored codes. */
export function countNanCodes(codes: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < codes.length; i++) {
    if (((codes[i] as number) & 0x7f) === 0x7f) count++;
  }
  return count;
}
