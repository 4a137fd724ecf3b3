/** A model's files made of one array of bytes, and a device with small limits. */

import type { ModelConfig } from "../../weights-manifest/config.ts";
import type { ExpertRecord, StoredTensor } from "../../weights-manifest/schema.ts";
import type { WeightSource } from "../../src/model/backend.ts";
import type { Gpu } from "../../src/backend/gpu/index.ts";
import { randomExpert, type TestExpert } from "../kernels/expert-fixtures.ts";

export const CONFIG: ModelConfig = {
  family: "arctic",
  hiddenSize: 20,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headDim: 10,
  intermediateSize: 9,
  experts: 4,
  expertsPerToken: 2,
  vocabulary: 50,
  contextTokens: 64,
  ropeTheta: 10_000,
  normEps: 1e-5,
  tiedEmbeddings: false,
  bosToken: 1,
  eosToken: 2,
  layerKinds: ["parallel-moe", "parallel-moe"],
};

export class FakeSource implements WeightSource {
  readonly config = CONFIG;
  /** [layer][expert] */
  readonly experts: readonly (readonly TestExpert[])[];
  /** Ranges that were read, in order. */
  readonly reads: number[] = [];
  readonly #bytes: Uint8Array;
  readonly #tensors = new Map<string, StoredTensor>();

  constructor(tensors: readonly { tensor: StoredTensor; bytes: Uint8Array }[] = []) {
    const { layers, experts, hiddenSize, intermediateSize } = CONFIG;
    this.experts = Array.from(
      { length: layers },
      (_, l) =>
        Array.from(
          { length: experts },
          (_, e) => randomExpert(hiddenSize, intermediateSize, 10 * (experts * l + e) + 1),
        ),
    );
    const records = this.experts.flat().map(({ record }) => record);
    let end = 0;
    for (const part of [...records, ...tensors.map(({ bytes }) => bytes)]) end += part.length;
    this.#bytes = new Uint8Array(end);
    let at = 0;
    for (const record of records) {
      this.#bytes.set(record, at);
      at += record.length;
    }
    for (const { tensor, bytes } of tensors) {
      this.#bytes.set(bytes, at);
      const data = { ...tensor.data, offset: tensor.data.offset + at };
      const scales = tensor.scales && { ...tensor.scales, offset: tensor.scales.offset + at };
      this.#tensors.set(tensor.name, { ...tensor, data, scales });
      at += bytes.length;
    }
  }

  tensor(name: string): StoredTensor {
    return this.#tensors.get(name)!;
  }

  expert(layer: number, expert: number): ExpertRecord {
    const { layout, gateUp, down } = this.experts[layer]![expert]!;
    const offset = (layer * CONFIG.experts + expert) * layout.bytes;
    const part = (matrix: typeof gateUp, codes: number, scales: number): StoredTensor => ({
      name: "expert",
      dtype: "e4m3",
      rows: matrix.rows,
      cols: matrix.cols,
      stride: matrix.stride,
      shard: 0,
      data: { offset: offset + codes * 4, bytes: matrix.codes.length },
      scales: { offset: offset + scales * 4, bytes: matrix.rows * 4 },
      sources: [],
      sha256: null,
    });
    return {
      layer,
      expert,
      shard: 0,
      range: { offset, bytes: layout.bytes },
      gateUp: part(gateUp, 0, layout.gateUpScales),
      down: part(down, layout.downCodes, layout.downScales),
    };
  }

  withBytes<T>(_: number, offset: number, bytes: number, use: (bytes: Uint8Array) => T): T {
    this.reads.push(offset);
    return use(this.#bytes.subarray(offset, offset + bytes));
  }

  mapped(_: number, offset: number, bytes: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + bytes);
  }
}

/** The same device with other limits, or with buffers that fail. */
export function limited(gpu: Gpu, changes: Partial<Gpu>): Gpu {
  return {
    device: gpu.device,
    info: gpu.info,
    subgroupSize: gpu.subgroupSize,
    bindingBytes: gpu.bindingBytes,
    bufferBytes: gpu.bufferBytes,
    bindingAlign: gpu.bindingAlign,
    buffer: (label, bytes) => gpu.buffer(label, bytes),
    upload: (buffer, offset, data) => gpu.upload(buffer, offset, data),
    copy: (from, to, offset) => gpu.copy(from, to, offset),
    finished: () => gpu.finished(),
    pipeline: (kernel, constants) => gpu.pipeline(kernel, constants),
    hasKernel: (kernel) => gpu.hasKernel(kernel),
    dispatch: (pipeline, bindings, workgroups) => gpu.dispatch(pipeline, bindings, workgroups),
    params: (values) => gpu.params(values),
    flush: () => gpu.flush(),
    read: (binding) => gpu.read(binding),
    close: () => gpu.close(),
    ...changes,
  };
}
