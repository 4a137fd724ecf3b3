/** Where every stored tensor lies: decided by the configuration alone, so any run gives one layout. */

import { defined } from "../src/assert.ts";
import { limits } from "../src/limits.ts";
import type { ModelConfig } from "./config.ts";
import { storedTensors, type TensorSpec } from "./huggingface.ts";
import type { ByteRange, Shard, StoredDtype } from "./schema.ts";

/** A tensor with its place; what StoredTensor says but for the checksum. */
export interface PlacedTensor {
  readonly spec: TensorSpec;
  readonly stride: number;
  readonly shard: number;
  readonly data: ByteRange;
  readonly scales: ByteRange | null;
}

export interface Layout {
  readonly shards: readonly Shard[];
  readonly tensors: readonly PlacedTensor[];
}

const WIDTH: Readonly<Record<StoredDtype, number>> = { e4m3: 1, bf16: 2, f32: 4 };
const SCALE_BYTES = 4;

export function alignUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

/** Bytes from one row to the next. */
export function rowStride(dtype: StoredDtype, cols: number): number {
  const bytes = cols * WIDTH[dtype];
  return dtype === "e4m3" ? alignUp(bytes, limits.rowAlign) : bytes;
}

/** Bytes of a tensor's rows, and of its scales. */
export function tensorBytes(spec: TensorSpec): { data: number; scales: number } {
  const data = spec.rows * rowStride(spec.dtype, spec.cols);
  return { data, scales: spec.dtype === "e4m3" ? spec.rows * SCALE_BYTES : 0 };
}

/** Hands out ranges one after another, and starts a shard when the last one has grown enough. */
class Placer {
  readonly shards: Shard[] = [];
  private prefix = "";
  private count = 0;
  private at = 0;

  /** Tensors placed from now on go to shards of this name. */
  begin(prefix: string): void {
    this.close();
    this.prefix = prefix;
    this.count = 0;
  }

  place(bytes: number, align: number): ByteRange {
    const offset = alignUp(this.at, align);
    this.at = offset + bytes;
    return { offset, bytes };
  }

  /** Index of the shard being filled. */
  get shard(): number {
    return this.shards.length;
  }

  /** After a tensor or record that must not be divided. */
  closeIfFull(shardBytes: number): void {
    if (this.at > shardBytes) this.close();
  }

  close(): void {
    if (this.at === 0) return;
    const name = `${this.prefix}-${String(++this.count).padStart(5, "0")}.bin`;
    this.shards.push({ name, bytes: alignUp(this.at, limits.pageBytes) });
    this.at = 0;
  }
}

/**
 * The layout of a model.
 * @param shardBytes a shard is closed once it has grown past this
 */
export function layoutOf(config: ModelConfig, shardBytes: number = limits.shardBytes): Layout {
  const specs = storedTensors(config);
  const tensors: PlacedTensor[] = [];
  const placer = new Placer();
  placer.begin("dense");
  for (const spec of specs.filter((s) => s.expert === null)) {
    const bytes = tensorBytes(spec);
    const data = placer.place(bytes.data, limits.tensorAlign);
    const scales = bytes.scales > 0 ? placer.place(bytes.scales, limits.tensorAlign) : null;
    const stride = rowStride(spec.dtype, spec.cols);
    tensors.push({ spec, stride, shard: placer.shard, data, scales });
    placer.closeIfFull(shardBytes);
  }
  placer.begin("experts");
  const parts = specs.filter((s) => s.expert !== null);
  for (let i = 0; i < parts.length; i += 2) {
    const gateUp = defined(parts[i], "an expert's gate_up");
    const down = defined(parts[i + 1], "an expert's down");
    placer.place(0, limits.pageBytes);
    const codes = [gateUp, down].map((s) => placer.place(tensorBytes(s).data, limits.tensorAlign));
    const scales = [gateUp, down]
      .map((s) => placer.place(tensorBytes(s).scales, limits.tensorAlign));
    [gateUp, down].forEach((spec, part) => {
      const stride = rowStride(spec.dtype, spec.cols);
      const data = defined(codes[part], "codes");
      tensors.push({
        spec,
        stride,
        shard: placer.shard,
        data,
        scales: defined(scales[part], "scales"),
      });
    });
    placer.place(0, limits.pageBytes);
    placer.closeIfFull(shardBytes);
  }
  placer.close();
  return { shards: placer.shards, tensors };
}

/** The stored form of a placed tensor. */
export function storedForm(placed: PlacedTensor, sha256: string | null) {
  const { spec, stride, shard, data, scales } = placed;
  const { name, dtype, rows, cols } = spec;
  const sources = spec.sources.map((source) => source.name);
  return { name, dtype, rows, cols, stride, shard, data, scales, sources, sha256 };
}
