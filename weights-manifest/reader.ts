/** An open model folder: the manifest, and the weights where they lie. */

import { assert, defined } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import type { ModelConfig } from "./config.ts";
import { fileInside, readSmall } from "./files.ts";
import { checkScales, hasNanCode } from "./fp8.ts";
import { alignUp } from "./layout.ts";
import { readManifest } from "./manifest.ts";
import { type Io, MappedFile } from "./mapped-file.ts";
import type { ExpertRecord, KeptFile, Manifest, StoredTensor } from "./schema.ts";

/** What a reader of weights may ask for; has the shape of WeightSource in src/model/backend.ts. */
export class Model {
  readonly config: ModelConfig;
  readonly files: readonly KeptFile[];
  private readonly byName: ReadonlyMap<string, StoredTensor>;
  private readonly records: ReadonlyMap<number, ExpertRecord>;
  /** Tensors whose scales and codes are known to be good. */
  private readonly checked = new Set<StoredTensor>();
  private readonly shards = new Map<number, MappedFile>();

  constructor(
    readonly folder: string,
    readonly manifest: Manifest,
    private readonly paths: readonly string[],
    private readonly options: OpenOptions,
  ) {
    this.config = manifest.config;
    this.files = manifest.files;
    this.byName = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]));
    this.records = expertRecords(manifest);
  }

  /**
   * A tensor that the model is known to have. Its scales and codes are looked over the first time.
   * @throws ArcticError `weights_bad_scale`, `weights_nan_codes`
   */
  tensor(name: string): StoredTensor {
    const tensor = defined(this.byName.get(name), `the tensor ${name}`);
    this.checkOnce(tensor);
    return tensor;
  }

  /**
   * Where an expert lies. Scales and codes of both matrices are looked over the first time: bad ones
   * are an error when weights are loaded, never NaN in the middle of an answer.
   * @throws ArcticError `weights_bad_scale`, `weights_nan_codes`
   */
  expert(layer: number, expert: number): ExpertRecord {
    const record = this.records.get(layer * this.config.experts + expert);
    const found = defined(record, `expert ${expert} of layer ${layer}`);
    this.checkOnce(found.gateUp);
    this.checkOnce(found.down);
    return found;
  }

  /** `use` sees the bytes of a range of a shard; they are only valid until it returns. */
  withBytes<T>(shard: number, offset: number, bytes: number, use: (bytes: Uint8Array) => T): T {
    return this.shard(shard).withBytes(offset, bytes, use);
  }

  /** The bytes of a range of a shard, valid until the model is closed. */
  mapped(shard: number, offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    return this.shard(shard).mapped(offset, bytes);
  }

  /**
   * A copy of the scales of an e4m3 tensor, one f32 a row. A sparse model's are all zero.
   * @throws ArcticError `weights_bad_scale`
   */
  readScales(tensor: StoredTensor): Float32Array {
    const range = defined(tensor.scales, `the scales of ${tensor.name}`);
    const scales = this.withBytes(
      tensor.shard,
      range.offset,
      range.bytes,
      (bytes) => new Float32Array(bytes.slice().buffer),
    );
    if (tensor.sha256 !== null) checkScales(tensor.name, scales);
    return scales;
  }

  private checkOnce(tensor: StoredTensor): void {
    if (tensor.scales === null || tensor.sha256 === null || this.checked.has(tensor)) return;
    this.readScales(tensor);
    if (!this.options.allowNan) this.checkCodes(tensor);
    this.checked.add(tensor);
  }

  private checkCodes({ name, shard, data }: StoredTensor): void {
    if (!this.withBytes(shard, data.offset, data.bytes, hasNanCode)) return;
    throw new ArcticError(
      "weights_nan_codes",
      `${name} in ${this.folder} holds codes that are no number, so every answer would be nonsense. ` +
        "`arctic verify` counts them; convert the model again, or open it with --allow-nan.",
    );
  }

  /**
   * A kept file, or undefined when the model has none of that name.
   * @throws ArcticError `weights_damaged` when it is not what the manifest promises
   */
  file(name: string): Uint8Array<ArrayBuffer> | undefined {
    const kept = this.files.find((file) => file.name === name);
    if (kept === undefined) return undefined;
    const bytes = readSmall(this.folder, name, limits.tokenizerBytes);
    const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    if (sha256 === kept.sha256) return bytes;
    throw new ArcticError(
      "weights_damaged",
      `${this.folder}/${name} is not the file that was converted: its SHA-256 differs. Copy or ` +
        "convert the model again.",
    );
  }

  /** Names of the shards whose file has been replaced since they were opened. */
  replacedShards(): string[] {
    return [...this.shards].filter(([, file]) => file.replaced())
      .map(([index]) => defined(this.manifest.shards[index], "a shard").name);
  }

  /** Unmaps and closes everything; views from `mapped` read as empty from then on. */
  close(): void {
    for (const file of this.shards.values()) file.close();
    this.shards.clear();
  }

  private shard(index: number): MappedFile {
    const open = this.shards.get(index);
    if (open !== undefined) return open;
    const { bytes } = defined(this.manifest.shards[index], `shard ${index}`);
    const file = new MappedFile(
      defined(this.paths[index], "its path"),
      bytes,
      this.options.io ?? "mmap",
    );
    this.shards.set(index, file);
    return file;
  }
}

function expertRecords(manifest: Manifest): Map<number, ExpertRecord> {
  const { config, tensors } = manifest;
  const records = new Map<number, ExpertRecord>();
  let at = tensors.findIndex((tensor) => tensor.name.includes(".experts."));
  config.layerKinds.forEach((kind, layer) => {
    for (let expert = 0; kind !== "dense" && expert < config.experts; expert++) {
      const gateUp = defined(tensors[at++], "gate_up");
      const down = defined(tensors[at++], "down");
      assert(down.name === `layers.${layer}.experts.${expert}.down`, "experts out of order");
      const scales = defined(down.scales, "scales");
      const { offset } = gateUp.data;
      const bytes = alignUp(scales.offset + scales.bytes - offset, limits.pageBytes);
      const record = { layer, expert, shard: gateUp.shard, range: { offset, bytes }, gateUp, down };
      records.set(layer * config.experts + expert, record);
    }
  });
  return records;
}

export interface OpenOptions {
  /** "mmap" (the default), or "pread" where the disk may change underneath. */
  readonly io?: Io;
  /** Load weights that hold NaN codes all the same. */
  readonly allowNan?: boolean;
}

/**
 * Opens a model folder: reads the manifest and looks at the size of every shard, but maps nothing.
 *
 * @throws ArcticError `weights_*`, `config_*`
 */
export function openModel(folder: string, options: OpenOptions = {}): Model {
  const manifest = readManifest(folder);
  const paths = manifest.shards.map(({ name, bytes }) => {
    const { path, stats } = fileInside(folder, name);
    if (stats.size === bytes) return path;
    throw new ArcticError(
      stats.size < bytes ? "weights_truncated" : "weights_size_mismatch",
      `${path} has ${stats.size} bytes, but the manifest promises ${bytes}. Copy or convert the ` +
        "model again.",
    );
  });
  return new Model(folder, manifest, paths, options);
}
