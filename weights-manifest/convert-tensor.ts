/** Reads the sources of one stored tensor, encodes them, writes rows and scales, and hashes both. */

import { closeSync, openSync } from "node:fs";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { bf16Bits, f16Values, firstNotFinite } from "./fp8.ts";
import { fileError, readFully } from "./files.ts";
import { RowEncoder } from "./row-encoder.ts";
import { type SourceTensor, sourceWidth } from "./safetensors.ts";
import type { ByteRange, StoredDtype } from "./schema.ts";
import { quote } from "./strict-json.ts";
import { writeFully } from "./writer.ts";

/** All that a thread needs to make one stored tensor. */
export interface TensorJob {
  readonly dtype: StoredDtype;
  readonly cols: number;
  readonly stride: number;
  readonly data: ByteRange;
  readonly scales: ByteRange | null;
  readonly sources: readonly SourceTensor[];
  /** The unfinished shard. */
  readonly file: string;
}

/** Converts tensors one after another, with buffers and tables that live as long as it does. */
export class TensorConverter {
  private readonly encoder = new RowEncoder();
  /** Descriptors by path, used longest ago first. */
  private readonly open = new Map<string, number>();
  private input = new ArrayBuffer(0);
  private output = new ArrayBuffer(0);
  private halves: Float32Array | undefined;

  /**
   * Makes one stored tensor in its shard. @returns SHA-256 of rows and scales, in hex
   * @throws ArcticError `weights_not_finite`, `weights_truncated`, `weights_unreadable`; errors of
   *   writing as the system reports them
   */
  convert(job: TensorJob): string {
    const hash = new Bun.CryptoHasher("sha256");
    const scales = new Float32Array(job.scales === null ? 0 : job.scales.bytes / 4);
    let row = 0;
    for (const source of job.sources) {
      const total = source.bytes / sourceWidth[source.dtype] / job.cols;
      const rowBytes = job.cols * sourceWidth[source.dtype];
      const block = Math.max(1, Math.floor(limits.convertBlockBytes / rowBytes));
      for (let done = 0; done < total; done += block) {
        const rows = Math.min(block, total - done);
        const input = this.read(source, done * rowBytes, rows * rowBytes);
        const output = this.buffer("output", rows * job.stride);
        if (job.dtype === "e4m3") this.encode(job, source, input, output, rows, done, scales, row);
        else this.widen(job, source, input, output, done);
        hash.update(output);
        writeFully(this.descriptor(job.file, "r+"), output, job.data.offset + row * job.stride);
        row += rows;
      }
    }
    if (job.scales !== null) {
      const bytes = new Uint8Array(scales.buffer);
      hash.update(bytes);
      writeFully(this.descriptor(job.file, "r+"), bytes, job.scales.offset);
    }
    return hash.digest("hex");
  }

  close(): void {
    for (const fd of this.open.values()) closeSync(fd);
    this.open.clear();
  }

  /**
   * An open file, valid until the next one is asked for. Few are kept, those used last: jobs come in
   * the order of the shards, and sources nearly so.
   */
  private descriptor(path: string, mode: "r" | "r+"): number {
    let fd = this.open.get(path);
    this.open.delete(path);
    const [oldest] = this.open;
    if (fd === undefined && oldest !== undefined && this.open.size >= limits.convertOpenFiles) {
      this.open.delete(oldest[0]);
      closeSync(oldest[1]);
    }
    fd ??= openSync(path, mode);
    this.open.set(path, fd);
    return fd;
  }

  private buffer(which: "input" | "output", bytes: number): Uint8Array<ArrayBuffer> {
    if (this[which].byteLength < bytes) this[which] = new ArrayBuffer(bytes);
    return new Uint8Array(this[which], 0, bytes);
  }

  private read(source: SourceTensor, from: number, bytes: number): ArrayBuffer {
    const into = this.buffer("input", bytes);
    let got = 0;
    try {
      got = readFully(this.descriptor(source.file, "r"), into, source.offset + from);
    } catch (cause) {
      throw fileError("weights_unreadable", source.file, "read", cause);
    }
    if (got === bytes) return into.buffer;
    throw new ArcticError(
      "weights_truncated",
      `${source.file} ended ${bytes - got} bytes early while ${quote(source.name)} was read. ` +
        "It changed during the conversion; start again.",
    );
  }

  /** Rows of E4M3 codes with zero padding; scales[firstRow ..] get their scales. */
  private encode(
    job: TensorJob,
    source: SourceTensor,
    input: ArrayBuffer,
    output: Uint8Array,
    rows: number,
    done: number,
    scales: Float32Array,
    firstRow: number,
  ): void {
    const { cols, stride } = job;
    if (stride > cols) output.fill(0);
    for (let r = 0; r < rows; r++) {
      const scale = source.dtype === "BF16"
        ? this.encoder.bf16(new Uint16Array(input, r * cols * 2, cols), output, r * stride)
        : this.encoder.f32(this.floatRow(source.dtype, input, r * cols, cols), output, r * stride);
      if (Number.isNaN(scale)) this.refuseValue(job, source, input, r, done);
      scales[firstRow + r] = scale;
    }
  }

  private floatRow(
    dtype: "F16" | "F32",
    input: ArrayBuffer,
    at: number,
    count: number,
  ): Float32Array {
    if (dtype === "F32") return new Float32Array(input, at * 4, count);
    return new Float32Array(this.fromHalf(input, at, count).buffer);
  }

  /** Bits of the f32 values of f16 patterns. */
  private fromHalf(input: ArrayBuffer, at: number, count: number): Uint32Array<ArrayBuffer> {
    const into = new Uint32Array(count);
    this.halves ??= f16Values();
    const patterns = new Uint16Array(input, at * 2, count);
    const values = new Float32Array(into.buffer);
    for (let i = 0; i < count; i++) values[i] = this.halves[patterns[i] as number] as number;
    return into;
  }

  /** f32 or bf16 rows, which have no padding. */
  private widen(
    job: TensorJob,
    source: SourceTensor,
    input: ArrayBuffer,
    output: Uint8Array<ArrayBuffer>,
    done: number,
  ): void {
    const count = output.length / (job.dtype === "f32" ? 4 : 2);
    const narrow = source.dtype === "F32"
      ? new Uint32Array(input, 0, count)
      : new Uint16Array(input, 0, count);
    const bad = firstNotFinite(narrow, source.dtype);
    if (bad >= 0) refuseNotFinite(source, done * job.cols + bad, narrow[bad] as number);
    if (source.dtype === "BF16" && job.dtype === "bf16") {
      output.set(new Uint8Array(input, 0, output.length));
      return;
    }
    const bits = source.dtype === "F16" ? this.fromHalf(input, 0, count) : narrow;
    const shift = source.dtype === "BF16" ? 16 : 0;
    if (job.dtype === "f32") {
      const out = new Uint32Array(output.buffer, 0, count);
      for (let i = 0; i < count; i++) out[i] = (bits[i] as number) << shift;
      return;
    }
    const out = new Uint16Array(output.buffer, 0, count);
    for (let i = 0; i < count; i++) {
      const rounded = bf16Bits(bits[i] as number);
      if ((rounded & 0x7f80) === 0x7f80) {
        refuseNotFinite(source, done * job.cols + i, bits[i] as number);
      }
      out[i] = rounded;
    }
  }

  private refuseValue(
    job: TensorJob,
    source: SourceTensor,
    input: ArrayBuffer,
    row: number,
    done: number,
  ): never {
    const row32 = source.dtype === "F32";
    const bits = row32
      ? new Uint32Array(input, row * job.cols * 4, job.cols)
      : new Uint16Array(input, row * job.cols * 2, job.cols);
    const at = firstNotFinite(bits, source.dtype);
    refuseNotFinite(source, (done + row) * job.cols + at, bits[at] as number);
  }
}

function refuseNotFinite(source: SourceTensor, index: number, bits: number): never {
  const digits = sourceWidth[source.dtype] * 2;
  throw new ArcticError(
    "weights_not_finite",
    `${quote(source.name)} in ${source.file} holds NaN, an infinity or a number beyond bf16 ` +
      `(bits 0x${
        bits.toString(16).padStart(digits, "0")
      }) at element ${index}. The checkpoint is ` +
      "damaged; fetch the file again.",
  );
}
