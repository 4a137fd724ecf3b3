/** f32 vectors to and from the device, and how they are compared. */

import { expect } from "bun:test";
import { type Binding, type Gpu, whole } from "../../src/backend/gpu/context.ts";

/** Seeded generator of [0, 1) (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `length` values of [-1, 1). */
export function randomVector(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => 2 * random() - 1);
}

export function bound(gpu: Gpu, data: Float32Array | Uint32Array): Binding {
  const buffer = gpu.buffer("test", data.byteLength);
  gpu.upload(buffer, 0, data);
  return { ...whole(buffer), size: Math.max(4, data.byteLength) };
}

/** A buffer that holds NaN everywhere, so that what a kernel leaves out shows. */
export function unwritten(gpu: Gpu, length: number): Binding {
  return bound(gpu, new Float32Array(length).fill(NaN));
}

export async function floats(gpu: Gpu, binding: Binding): Promise<Float32Array> {
  return new Float32Array(await gpu.read(binding));
}

/** Every value within `tolerance` of the expected, relative to the largest expected magnitude. */
export function expectClose(
  actual: Float32Array,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  expect(actual.length).toBe(expected.length);
  let scale = 1e-30;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!));
  const wrong: string[] = [];
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    if (!(error <= tolerance * scale)) wrong.push(`[${i}] ${actual[i]} for ${expected[i]}`);
  }
  expect(wrong.slice(0, 8)).toEqual([]);
}
