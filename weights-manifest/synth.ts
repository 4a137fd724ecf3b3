/** A model folder of any shape with random weights: for timing, and for tests without a checkpoint. */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { defined } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import type { ConvertResult, Progress } from "./convert.ts";
import { clearOutput, prepareOutput } from "./convert-state.ts";
import { limits } from "../src/limits.ts";
import { parseConfigFile } from "./checkpoint.ts";
import { fileError, readSmall } from "./files.ts";
import { bf16Bits, encodeE4m3, floatBits } from "./fp8.ts";
import { layoutOf, type PlacedTensor, storedForm } from "./layout.ts";
import { encodeManifest } from "./manifest.ts";
import {
  FORMAT,
  FORMAT_VERSION,
  type Manifest,
  MANIFEST_FILE,
  type StoredDtype,
} from "./schema.ts";
import { parseConfig } from "./validate-config.ts";
import { createPartial, finishPartial, writeFully, writeWhole } from "./writer.ts";

export interface SynthOptions {
  readonly seed?: number;
  /** Shards without blocks: the size of the model costs no disk; all weights and scales read as 0. */
  readonly sparse?: boolean;
  readonly force?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  readonly shardBytes?: number;
}

/** splitmix32: a counter through a mixing function; period 2^32. */
export function splitmix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/** Samples in the table that rows are cut from. */
const SAMPLES = 1 << 20;
/** E4M3 codes hold 64 times a standard normal: 7 sigmas reach 448. */
const CODE_STD = 64;

/** Standard normals (Box and Muller 1958), cut at 4 sigmas. */
function normals(random: () => number): Float32Array {
  const out = new Float32Array(SAMPLES);
  for (let i = 0; i < SAMPLES; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((random() + 1) / 2 ** 32));
    const angle = (2 * Math.PI * random()) / 2 ** 32;
    out[i] = Math.max(-4, Math.min(4, radius * Math.cos(angle)));
    out[i + 1] = Math.max(-4, Math.min(4, radius * Math.sin(angle)));
  }
  return out;
}

/** Rows of random weights, each cut from a table of samples at a random place. */
class RowSource {
  private readonly samples: Float32Array;
  private readonly random: () => number;
  private readonly tables = new Map<string, Uint8Array>();

  constructor(seed: number) {
    this.random = splitmix32(seed);
    this.samples = normals(this.random);
  }

  /** Fills whole rows; `std` is the weights' standard deviation. @returns the scale, for e4m3 */
  fill(rows: Uint8Array, width: number, stride: number, dtype: StoredDtype, std: number): number {
    const exponent = Math.round(Math.log2(std / CODE_STD));
    const table = this.table(dtype, dtype === "e4m3" ? std / 2 ** exponent : std);
    const unit = dtype === "e4m3" ? 1 : dtype === "bf16" ? 2 : 4;
    for (let at = 0; at < rows.length; at += stride) {
      for (let done = 0; done < width;) {
        const start = (this.random() & (SAMPLES - 1)) * unit;
        const piece = Math.min(width - done, table.length - start);
        rows.set(table.subarray(start, start + piece), at + done);
        done += piece;
      }
      rows.fill(0, at + width, at + stride);
    }
    return 2 ** exponent;
  }

  private table(dtype: StoredDtype, std: number): Uint8Array {
    const key = `${dtype} ${std}`;
    let table = this.tables.get(key);
    if (table === undefined) {
      table = this.encode(dtype, std);
      this.tables.set(key, table);
    }
    return table;
  }

  private encode(dtype: StoredDtype, std: number): Uint8Array {
    if (dtype === "e4m3") return Uint8Array.from(this.samples, (x) => encodeE4m3(x * std));
    const values = dtype === "bf16"
      ? Uint16Array.from(this.samples, (x) => bf16Bits(floatBits(x * std)))
      : Float32Array.from(this.samples, (x) => x * std);
    return new Uint8Array(values.buffer);
  }
}

/** Standard deviations that keep activations near 1: 1 / sqrt(inputs), more where a choice is made. */
function standardDeviation({ spec }: PlacedTensor): number {
  if (spec.name === "embedding") return 1;
  const gain = spec.name === "head" || spec.name.endsWith(".router") ? 2 : 1;
  return gain / Math.sqrt(spec.cols);
}

/**
 * Writes a random-weight model; the same seed gives the same bytes.
 *
 * @param source a config.json, as its path or as plain values
 * @throws ArcticError `config_*`, `weights_output_*`, `disk_failed`, `engine_aborted`
 */
export async function synth(
  source: string | Readonly<Record<string, unknown>>,
  output: string,
  options: SynthOptions = {},
): Promise<ConvertResult> {
  const sourceConfig = typeof source === "string" ? readConfig(source) : source;
  const config = parseConfig(sourceConfig);
  const layout = layoutOf(config, options.shardBytes);
  const bytes = layout.shards.reduce((sum, shard) => sum + shard.bytes, 0);
  try {
    mkdirSync(output, { recursive: true });
    const force = options.force ?? false;
    prepareOutput(output, { force, source: "synth" });
    clearOutput(output);
    const checksums = new Map<string, string>();
    const rows = options.sparse ? undefined : new RowSource(options.seed ?? 0);
    let bytesDone = 0;
    for (const [index, tensors] of Map.groupBy(layout.tensors, (tensor) => tensor.shard)) {
      const shard = defined(layout.shards[index], "a shard");
      const path = createPartial(output, shard.name, shard.bytes);
      if (rows !== undefined) {
        const fd = openSync(path, "r+");
        try {
          for (const tensor of tensors) {
            await checkAborted(options.signal, output);
            checksums.set(tensor.spec.name, writeTensor(fd, tensor, rows));
            bytesDone += tensor.data.bytes;
            options.onProgress?.({ bytesDone, bytesTotal: bytes, phase: "synth" });
          }
        } finally {
          closeSync(fd);
        }
      }
      await finishPartial(output, shard.name, () => {});
    }
    const manifest: Manifest = {
      format: FORMAT,
      version: FORMAT_VERSION,
      config,
      sourceConfig,
      files: [],
      shards: layout.shards,
      tensors: layout.tensors.map((t) => storedForm(t, checksums.get(t.spec.name) ?? null)),
    };
    writeWhole(output, MANIFEST_FILE, encodeManifest(manifest));
    options.onProgress?.({ bytesDone: bytes, bytesTotal: bytes, phase: "synth" });
    return { manifest, bytes, resumed: false };
  } catch (cause) {
    throw fileError("disk_failed", output, "written", cause);
  }
}

function readConfig(path: string): Record<string, unknown> {
  const bytes = readSmall(dirname(path), basename(path), limits.configBytes);
  return parseConfigFile(path, bytes);
}

/** Lets the event loop turn, so that a signal can arrive. */
async function checkAborted(signal: AbortSignal | undefined, output: string): Promise<void> {
  if (signal === undefined) return;
  await new Promise<void>((resolve) => setImmediate(resolve));
  if (!signal.aborted) return;
  throw new ArcticError("engine_aborted", `Writing ${output} was stopped.`, { exit: 130 });
}

function writeTensor(fd: number, tensor: PlacedTensor, source: RowSource): string {
  const { spec, stride, data, scales } = tensor;
  const hash = new Bun.CryptoHasher("sha256");
  const width = spec.dtype === "e4m3" ? spec.cols : stride;
  const block = Math.max(1, Math.floor(limits.convertBlockBytes / stride));
  const buffer = new Uint8Array(Math.min(block, spec.rows) * stride);
  const factors = new Float32Array(scales === null ? 0 : spec.rows);
  const isNorm = spec.dtype === "f32" && spec.rows === 1;
  for (let row = 0; row < spec.rows; row += block) {
    const rows = buffer.subarray(0, Math.min(block, spec.rows - row) * stride);
    if (isNorm) new Float32Array(rows.buffer, 0, spec.cols).fill(1);
    else factors.fill(source.fill(rows, width, stride, spec.dtype, standardDeviation(tensor)), row);
    hash.update(rows);
    writeFully(fd, rows, data.offset + row * stride);
  }
  if (scales !== null) {
    const bytes = new Uint8Array(factors.buffer);
    hash.update(bytes);
    writeFully(fd, bytes, scales.offset);
  }
  return hash.digest("hex");
}
