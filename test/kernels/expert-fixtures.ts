/** An expert's record as it lies in a shard (weights-manifest/schema.ts), with random weights. */

import type { Fp8Matrix } from "../../src/backend/cpu/fp8.ts";
import type { ExpertLayout } from "../../src/backend/gpu/expert-gate-up.ts";
import { mildMatrix } from "./gate-up-fixtures.ts";

export interface TestExpert {
  readonly gateUp: Fp8Matrix;
  readonly down: Fp8Matrix;
  readonly record: Uint8Array<ArrayBuffer>;
  readonly layout: ExpertLayout;
}

export function randomExpert(hidden: number, width: number, seed: number): TestExpert {
  const gateUp = mildMatrix(2 * width, hidden, seed);
  const down = mildMatrix(hidden, width, seed + 1);
  const parts = [
    gateUp.codes,
    down.codes,
    new Uint8Array(gateUp.scales.buffer),
    new Uint8Array(down.scales.buffer),
  ];
  const starts: number[] = [];
  let end = 0;
  for (const part of parts) {
    starts.push(end);
    end = Math.ceil((end + part.length) / 256) * 256;
  }
  const record = new Uint8Array(Math.ceil(end / 4096) * 4096);
  for (const [i, part] of parts.entries()) record.set(part, starts[i]!);
  const [, downCodes, gateUpScales, downScales] = starts.map((start) => start / 4);
  const layout = {
    bytes: record.length,
    width,
    hidden,
    gateUpStride: gateUp.stride / 4,
    gateUpScales: gateUpScales!,
    downCodes: downCodes!,
    downStride: down.stride / 4,
    downScales: downScales!,
  };
  return { gateUp, down, record, layout };
}

/** Pairs that choose expert a for the rows of `a` and expert b for those of `b`. */
export function routesOf(
  a: readonly number[],
  b: readonly number[],
  weights: Float32Array,
): Uint32Array {
  const bits = new Uint32Array(weights.buffer);
  return Uint32Array.from([...a, ...b].flatMap((row, i) => [row, bits[i]!]));
}
