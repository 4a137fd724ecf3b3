import type {
  Activations,
  Experts,
  KvLayer,
  Matrix,
  Table,
  Weights,
  WeightSource,
} from "../../model/backend.ts";
import type { ByteRange, StoredTensor } from "../../../weights-manifest/schema.ts";
import { assert, defined } from "../../assert.ts";
import type { Fp8Matrix } from "./fp8.ts";
import type { KvPages } from "./kv-pages.ts";

/** What the model's opaque handles are on this backend. Only this backend's own may come back. */

export class CpuActivations implements Activations {
  constructor(readonly width: number, readonly data: Float32Array) {}
}

export class CpuMatrix implements Matrix {
  readonly rows: number;
  readonly cols: number;
  constructor(readonly fp8: Fp8Matrix) {
    this.rows = fp8.rows;
    this.cols = fp8.cols;
  }
}

export class CpuTable implements Table {
  constructor(readonly rows: number, readonly cols: number, readonly bf16: Uint16Array) {}
}

export class CpuWeights implements Weights {
  constructor(readonly rows: number, readonly cols: number, readonly data: Float32Array) {}
}

/** The experts stay where they are; `withExpert` looks at one for as long as it is used. */
export class CpuExperts implements Experts {
  readonly count: number;
  constructor(readonly layer: number, readonly source: WeightSource) {
    this.count = source.config.experts;
  }
}

export class CpuKvLayer implements KvLayer {
  constructor(readonly layer: number, readonly pages: KvPages) {}
}

/** The handle, asserted to be one that this backend made. */
export function own<T, H extends T>(handle: T, kind: abstract new (...args: never[]) => H): H {
  assert(handle instanceof kind, `a ${kind.name} of another backend reached the CPU's`);
  return handle;
}

/** The matrix where it is mapped: nothing is copied. */
export function mappedFp8(source: WeightSource, tensor: StoredTensor): Fp8Matrix {
  return fp8Matrix(tensor, (range) => source.mapped(tensor.shard, range.offset, range.bytes));
}

/** One expert's matrices. */
export interface CpuExpert {
  readonly gateUp: Fp8Matrix;
  readonly down: Fp8Matrix;
}

/**
 * Calls `use` with one expert's matrices, which are valid until it returns: the source checks its
 * file before each use and need not keep thousands of mappings.
 */
export function withExpert(
  { source, layer }: CpuExperts,
  expert: number,
  use: (expert: CpuExpert) => void,
): void {
  const { shard, range, gateUp, down } = source.expert(layer, expert);
  source.withBytes(shard, range.offset, range.bytes, (record) => {
    const part = ({ offset, bytes }: ByteRange) => {
      const start = offset - range.offset;
      return record.subarray(start, start + bytes);
    };
    use({ gateUp: fp8Matrix(gateUp, part), down: fp8Matrix(down, part) });
  });
}

function fp8Matrix(tensor: StoredTensor, read: (range: ByteRange) => Uint8Array): Fp8Matrix {
  const { name, dtype, rows, cols, stride } = tensor;
  assert(dtype === "e4m3", `${name} is ${dtype}, not e4m3`);
  const codes = read(tensor.data);
  const scales = asF32(read(defined(tensor.scales, `the range of ${name}'s scales`)));
  assert(scales.length === rows, `${name} has ${scales.length} scales for ${rows} rows`);
  assert(codes.length >= (rows - 1) * stride + cols, `${name} is shorter than its shape`);
  // The loops over codes count in 32 bits.
  assert(codes.length < 2 ** 31, `${name} has 2 GiB of codes or more`);
  return { codes, scales, rows, cols, stride };
}

/** Bytes as f32, in place where their alignment allows it. */
export function asF32(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, bytes.length / 4);
}

/** Bytes as bf16 bit patterns, in place where their alignment allows it. */
export function asBf16(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, bytes.length / 2);
}
