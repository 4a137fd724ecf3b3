/** Every byte of a model folder against what its manifest promises. */

import { defined } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import type { Progress } from "./convert.ts";
import { countNanCodes, isScale } from "./fp8.ts";
import { type Model, openModel } from "./reader.ts";
import type { StoredTensor } from "./schema.ts";

export interface Damage {
  /** A tensor, a kept file or a shard. */
  readonly name: string;
  /** A full sentence. */
  readonly problem: string;
}

export interface Verification {
  /** True when nothing is damaged. */
  readonly sound: boolean;
  readonly damaged: readonly Damage[];
  /** Tensors whose checksum was compared. */
  readonly checked: number;
  /** Tensors without a checksum: those of a sparse model. */
  readonly unchecked: number;
  /** E4M3 NaN codes in all tensors; a sound model has none. */
  readonly nanCodes: number;
  /** Bytes read. */
  readonly bytes: number;
}

export interface VerifyOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Compares every checksum, scale, code and padding byte. Damage is reported, all of it, not thrown.
 *
 * @throws ArcticError `weights_*` where the folder cannot be read as a model at all, or shrinks
 *   meanwhile; `engine_aborted`
 */
export async function verify(folder: string, options: VerifyOptions = {}): Promise<Verification> {
  // Reads, not mappings: a damaged disk then gives an error instead of ending the process.
  const model = openModel(folder, { io: "pread" });
  try {
    return await new Verifier(model, options).run();
  } finally {
    model.close();
  }
}

class Verifier {
  private readonly damaged: Damage[] = [];
  private nanCodes = 0;
  private checked = 0;
  private unchecked = 0;
  private bytesDone = 0;

  private readonly bytesTotal: number;

  constructor(private readonly model: Model, private readonly options: VerifyOptions) {
    this.bytesTotal = model.manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async run(): Promise<Verification> {
    const { manifest } = this.model;
    for (const { name } of manifest.files) this.keptFile(name);
    for (const tensor of manifest.tensors) {
      await this.breathe();
      if (tensor.sha256 === null) this.unchecked++;
      else this.tensor(tensor, tensor.sha256);
    }
    if (this.unchecked < manifest.tensors.length) {
      for (const index of manifest.shards.keys()) this.padding(index);
    }
    this.report(this.bytesTotal);
    const { damaged, checked, unchecked, nanCodes, bytesDone: bytes } = this;
    return { sound: damaged.length === 0, damaged, checked, unchecked, nanCodes, bytes };
  }

  private report(bytesDone: number): void {
    this.options.onProgress?.({ bytesDone, bytesTotal: this.bytesTotal, phase: "verify" });
  }

  /** Lets the event loop turn, so that a signal can arrive and progress be drawn. */
  private async breathe(): Promise<void> {
    const { signal } = this.options;
    this.report(this.bytesDone);
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (signal?.aborted) {
      throw new ArcticError("engine_aborted", "The verification was stopped.", { exit: 130 });
    }
  }

  private keptFile(name: string): void {
    try {
      this.model.file(name);
    } catch (error) {
      if (!(error instanceof ArcticError)) throw error;
      this.damaged.push({ name, problem: error.message });
    }
  }

  private tensor(tensor: StoredTensor, sha256: string): void {
    const hash = new Bun.CryptoHasher("sha256");
    const { name, shard, data, scales } = tensor;
    let nans = 0;
    for (let done = 0; done < data.bytes; done += limits.convertBlockBytes) {
      const bytes = Math.min(limits.convertBlockBytes, data.bytes - done);
      this.model.withBytes(shard, data.offset + done, bytes, (block) => {
        hash.update(block);
        if (tensor.dtype === "e4m3") nans += countNanCodes(block);
      });
    }
    let badScale: string | undefined;
    if (scales !== null) {
      this.model.withBytes(shard, scales.offset, scales.bytes, (block) => {
        hash.update(block);
        const row = new Float32Array(block.slice().buffer).findIndex((scale) => !isScale(scale));
        if (row >= 0) badScale = `The scale of row ${row} is no positive, normal number.`;
      });
    }
    this.checked++;
    this.nanCodes += nans;
    this.bytesDone += data.bytes + (scales?.bytes ?? 0);
    const file = defined(this.model.manifest.shards[shard], "its shard").name;
    const problems = [
      hash.digest("hex") === sha256 ? undefined : `Its SHA-256 differs, in ${file}.`,
      nans === 0 ? undefined : `It holds ${nans} codes that are no number.`,
      badScale,
    ].filter((problem) => problem !== undefined);
    if (problems.length > 0) this.damaged.push({ name, problem: problems.join(" ") });
  }

  /** Bytes that belong to no tensor are zero. */
  private padding(index: number): void {
    const { tensors, shards } = this.model.manifest;
    const { name, bytes } = defined(shards[index], "a shard");
    const ranges = tensors.filter((tensor) => tensor.shard === index)
      .flatMap(({ data, scales }) => scales === null ? [data] : [data, scales])
      .sort((a, b) => a.offset - b.offset);
    let end = 0;
    for (const range of [...ranges, { offset: bytes, bytes: 0 }]) {
      const at = this.firstNonZero(index, end, range.offset - end);
      if (at >= 0) {
        this.damaged.push({ name, problem: `Byte ${end + at}, padding, is not zero.` });
      }
      end = range.offset + range.bytes;
    }
  }

  private firstNonZero(shard: number, offset: number, bytes: number): number {
    for (let done = 0; done < bytes; done += limits.convertBlockBytes) {
      const size = Math.min(limits.convertBlockBytes, bytes - done);
      const at = this.model.withBytes(
        shard,
        offset + done,
        size,
        (block) => block.findIndex((byte) => byte !== 0),
      );
      if (at >= 0) return done + at;
    }
    return -1;
  }
}
