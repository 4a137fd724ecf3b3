/** Random FP8 matrices and activations, on the CPU and on devices with and without subgroups. */

import { type Gpu, openGpu, whole } from "../../src/backend/gpu/index.ts";
import type { Fp8Matrix as GpuMatrix } from "../../src/backend/gpu/fp8-product.ts";
import type { Fp8Matrix } from "../../src/backend/cpu/fp8.ts";
import { gpuMissing } from "../support/gpu.ts";

/** Small, fast and the same everywhere: mulberry32. Values in [0, 1). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Any of the 254 codes that are numbers; every fifth one is subnormal. Scales are 2^-12 .. 2^3. */
export function randomMatrix(rows: number, cols: number, seed: number): Fp8Matrix {
  const next = random(seed);
  const stride = Math.ceil(cols / 16) * 16;
  const codes = new Uint8Array(rows * stride);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const magnitude = Math.floor(next() * (next() < 0.2 ? 8 : 127));
      codes[r * stride + c] = magnitude | (next() < 0.5 ? 0x80 : 0);
    }
  }
  const scales = Float32Array.from({ length: rows }, () => 2 ** Math.floor(next() * 16 - 12));
  return { codes, scales, rows, cols, stride };
}

export function randomValues(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => (next() - 0.5) * 4);
}

/** The same matrix and vector without signs: their product bounds every rounding error. */
export function magnitudes(matrix: Fp8Matrix): Fp8Matrix {
  return { ...matrix, codes: matrix.codes.map((code) => code & 0x7f) };
}

export function upload(gpu: Gpu, data: Float32Array | Uint32Array | Uint8Array) {
  const buffer = gpu.buffer("test", data.byteLength);
  gpu.upload(buffer, 0, data);
  return whole(buffer);
}

/**
 * The matrix on a device, cut into parts of `outputs` outputs at most.
 * @param joined whether a part's codes and scales lie in one buffer, as uploaded weights do
 */
export function uploadParts(
  gpu: Gpu,
  matrix: Fp8Matrix,
  stacked: boolean,
  outputs = matrix.rows,
  joined = false,
): GpuMatrix {
  const { rows, cols, stride, codes, scales } = matrix;
  const halves = stacked ? [0, rows / 2] : [0];
  const total = rows / halves.length;
  const parts = [];
  for (let first = 0; first < total; first += outputs) {
    const count = Math.min(outputs, total - first);
    const pick = <T>(cut: (row: number, end: number) => Iterable<T>): T[] =>
      halves.flatMap((half) => [...cut(half + first, half + first + count)]);
    const ownCodes = Uint8Array.from(pick((r, e) => codes.subarray(r * stride, e * stride)));
    const ownScales = Float32Array.from(pick((r, e) => scales.subarray(r, e)));
    const ranges = joined
      ? uploadJoined(gpu, ownCodes, ownScales)
      : { codes: upload(gpu, ownCodes), scales: upload(gpu, ownScales) };
    parts.push({ first, outputs: count, ...ranges });
  }
  return { rows, cols, stride, stacked, parts };
}

function uploadJoined(gpu: Gpu, codes: Uint8Array, scales: Float32Array) {
  const at = Math.ceil(codes.length / 256) * 256;
  const buffer = gpu.buffer("test", at + scales.byteLength);
  gpu.upload(buffer, 0, codes);
  gpu.upload(buffer, at, scales);
  return {
    codes: { buffer, offset: 0, size: codes.length },
    scales: { buffer, offset: at, size: scales.byteLength },
  };
}

/** Rows padded with zeros to a width that is a multiple of 4. */
export function uploadRows(gpu: Gpu, x: Float32Array, rows: number, width: number) {
  const padded = Math.ceil(width / 4) * 4;
  const data = new Float32Array(rows * padded);
  for (let r = 0; r < rows; r++) data.set(x.subarray(r * width, (r + 1) * width), r * padded);
  return { data: upload(gpu, data), width: padded };
}

export async function download(
  gpu: Gpu,
  rows: { data: ReturnType<typeof whole> },
  length: number,
): Promise<Float32Array> {
  return new Float32Array(await gpu.read(rows.data)).subarray(0, length);
}

/** First difference beyond 2^-18 of the sum of magnitudes, or null. */
export function difference(
  got: Float32Array,
  want: Float32Array,
  bound: Float32Array,
): string | null {
  for (const [i, value] of want.entries()) {
    if (!(Math.abs(got[i]! - value) <= bound[i]! * 2 ** -18)) {
      return `[${i}] is ${got[i]}, not ${value} (magnitudes ${bound[i]})`;
    }
  }
  return null;
}

/** One device with subgroups (where it has them) and one without. */
export const devices: readonly { readonly name: string; readonly gpu: Gpu }[] =
  gpuMissing === undefined
    ? [
      { name: "subgroups", gpu: await openGpu() },
      { name: "portable", gpu: await openGpu({ subgroups: false }) },
    ]
    : [];
