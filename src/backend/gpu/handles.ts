/** What the model's opaque handles are on this backend. Only this backend's own may come back. */

import { assert } from "../../assert.ts";
import type { Activations, Experts, KvLayer, Matrix, Table, Weights } from "../../model/backend.ts";
import type { Binding } from "./context.ts";
import type { TablePart } from "./embed.ts";
import type { Fp8Matrix } from "./fp8-product.ts";
import type { KvBuffers } from "./kv-write.ts";

/** f32 [maxRows, width], rows not padded. */
export class GpuActivations implements Activations {
  constructor(readonly width: number, readonly data: Binding) {}
}

export class GpuMatrix implements Matrix {
  readonly rows: number;
  readonly cols: number;
  constructor(readonly fp8: Fp8Matrix) {
    this.rows = fp8.rows;
    this.cols = fp8.cols;
  }
}

export class GpuTable implements Table {
  constructor(readonly rows: number, readonly cols: number, readonly parts: readonly TablePart[]) {}
}

/** f32 [rows, cols] */
export class GpuWeights implements Weights {
  constructor(readonly rows: number, readonly cols: number, readonly data: Binding) {}
}

export class GpuExperts implements Experts {
  constructor(readonly layer: number, readonly count: number) {}
}

export class GpuKvLayer implements KvLayer {
  constructor(readonly layer: number, readonly buffers: KvBuffers) {}
}

/** The handle, asserted to be one that this backend made. */
export function own<T, H extends T>(handle: T, kind: abstract new (...args: never[]) => H): H {
  assert(handle instanceof kind, `a ${kind.name} of another backend reached the GPU's`);
  return handle;
}
