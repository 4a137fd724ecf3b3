/** A Hugging Face checkpoint to a model folder, in bounded memory, to be taken up where it was left. */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { assert, defined } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { inlineRunner, type Runner, threadRunner } from "./convert-pool.ts";
import { ConvertState, prepareOutput, removePartials, removeState } from "./convert-state.ts";
import type { TensorJob } from "./convert-tensor.ts";
import { diskFull, freeBytes, isDiskFull, type Need } from "./disk-space.ts";
import { errno, fileError } from "./files.ts";
import { checkCheckpoint } from "./huggingface.ts";
import { type Layout, layoutOf, type PlacedTensor, storedForm } from "./layout.ts";
import { encodeManifest, readManifest } from "./manifest.ts";
import { tryLock } from "./mapped-file.ts";
import { FORMAT, FORMAT_VERSION, type Manifest, MANIFEST_FILE } from "./schema.ts";
import { createPartial, finishPartial, writeWhole } from "./writer.ts";

export interface Progress {
  /** Bytes of the source, or of the output where there is no source. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly phase: "convert" | "finish" | "verify" | "synth";
}

export interface ConvertOptions {
  /** Replace a complete model in the output folder. */
  readonly force?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  /** Stops between tensors; what is done stays and is taken up by the next run. */
  readonly signal?: AbortSignal;
  /** Threads; 0 converts on the calling thread. */
  readonly workers?: number;
  /** A shard is closed once it has grown past this. */
  readonly shardBytes?: number;
  /** Sees the small files that will be kept beside the shards, before anything is written. */
  readonly checkKept?: (files: ReadonlyMap<string, Uint8Array>) => void;
  /** Bytes free for a folder, asked for before anything is written. */
  readonly freeBytes?: (folder: string) => number;
}

export interface ConvertResult {
  readonly manifest: Manifest;
  /** Bytes of the shards. */
  readonly bytes: number;
  /** True when an earlier, interrupted run had done part of it. */
  readonly resumed: boolean;
}

/**
 * Converts the checkpoint in `source` to a model folder `output`, which is created as needed.
 *
 * A shard has its final name only when it is whole and on the disk, and the manifest is written last;
 * so an interrupted run leaves nothing that could be taken for a model, and the next run goes on
 * after the last finished shard. The result is the same, byte for byte, however often it was
 * interrupted. A source that has changed in between is converted anew.
 *
 * @throws ArcticError `weights_*`, `config_*`, `disk_full`, `disk_failed`, `engine_aborted`
 */
export async function convert(
  source: string,
  output: string,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  const checkpoint = readCheckpoint(source);
  const layout = layoutOf(checkpoint.config, options.shardBytes);
  checkCheckpoint(checkpoint.config, layout.tensors.map((t) => t.spec), checkpoint.tensors);
  options.checkKept?.(checkpoint.kept);
  const lock = openOutput(output);
  // Without a handler, writing beyond RLIMIT_FSIZE ends the process before it can say why.
  const ignore = () => {};
  process.on("SIGXFSZ", ignore);
  try {
    return await new Conversion(source, output, checkpoint, layout, options).run();
  } catch (error) {
    throw writeError(output, error);
  } finally {
    process.off("SIGXFSZ", ignore);
    closeSync(lock);
  }
}

/** Creates the folder and locks it against a second conversion; the lock's descriptor. */
function openOutput(folder: string): number {
  let fd: number;
  try {
    mkdirSync(folder, { recursive: true });
    fd = openSync(folder, "r");
  } catch (cause) {
    throw fileError("weights_output_unusable", folder, "used as the output folder", cause);
  }
  if (tryLock(fd)) return fd;
  closeSync(fd);
  throw new ArcticError(
    "weights_output_busy",
    `Another conversion is writing to ${folder}. Wait for it, or give another folder.`,
  );
}

function writeError(folder: string, error: unknown): unknown {
  if (error instanceof ArcticError || errno(error) === "") return error;
  return new ArcticError(
    "disk_failed",
    `Writing to ${folder} failed: the system reports ${
      errno(error)
    }. What is finished stays; run ` +
      "the same command again to go on.",
    { cause: error },
  );
}

class Conversion {
  private readonly checksums = new Map<string, string>();
  private bytesDone = 0;
  private readonly partial = new Map<number, string>();
  private stopped = false;

  constructor(
    private readonly source: string,
    private readonly output: string,
    private readonly checkpoint: Checkpoint,
    private readonly layout: Layout,
    private readonly options: ConvertOptions,
  ) {}

  async run(): Promise<ConvertResult> {
    const { checkpoint, layout, output, options } = this;
    const identity = `${checkpoint.identity} ${JSON.stringify(layout.shards)}`;
    if (prepareOutput(output, { force: options.force ?? false, source: identity })) {
      const manifest = readManifest(output);
      removeState(output);
      return { manifest, bytes: shardBytes(manifest), resumed: true };
    }
    let state: ConvertState | undefined;
    try {
      removePartials(output);
      state = ConvertState.open(output, identity, layout.shards);
      this.takeOver(state);
      const resumed = state.finished.size > 0;
      const free = (options.freeBytes ?? freeBytes)(output);
      const need = this.need(state);
      if (free < need.bytes) throw diskFull(need, free);
      await this.convertShards(state);
      return { ...this.finish(), resumed };
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      removePartials(output);
      throw diskFull(this.need(state), freeBytes(output), error);
    }
  }

  /** Counts what an earlier run has done. */
  private takeOver(state: ConvertState): void {
    this.byShard().forEach((tensors, index) => {
      const { name } = defined(this.layout.shards[index], "a shard");
      const sums = state.finished.get(name);
      if (sums === undefined) return;
      if (sums.length !== tensors.length) {
        state.finished.delete(name);
        return;
      }
      tensors.forEach((tensor, i) => this.done(tensor, defined(sums[i], "a checksum")));
    });
    this.report("convert");
  }

  private byShard(): Map<number, PlacedTensor[]> {
    return Map.groupBy(this.layout.tensors, (tensor) => tensor.shard);
  }

  private done(tensor: PlacedTensor, sha256: string): void {
    this.checksums.set(tensor.spec.name, sha256);
    for (const source of this.sourcesOf(tensor)) this.bytesDone += source.bytes;
  }

  private sourcesOf(tensor: PlacedTensor) {
    return tensor.spec.sources.map(({ name }) =>
      defined(this.checkpoint.tensors.get(name), `the source ${name}`)
    );
  }

  private report(phase: Progress["phase"]): void {
    const { checkpoint, bytesDone } = this;
    const tied = checkpoint.config.tiedEmbeddings
      ? checkpoint.tensors.get("model.embed_tokens.weight")?.bytes ?? 0
      : 0;
    this.options.onProgress?.({ bytesDone, bytesTotal: checkpoint.bytes + tied, phase });
  }

  /** What is still to be written. */
  private need(state: ConvertState | undefined): Need {
    const sizes = this.layout.shards.filter(({ name }) => !state?.finished.has(name))
      .map(({ bytes }) => bytes);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    return { folder: this.output, bytes, largestFile: Math.max(0, ...sizes) };
  }

  private async convertShards(state: ConvertState): Promise<void> {
    const shards = [...this.byShard()].filter(([index]) =>
      !state.finished.has(defined(this.layout.shards[index], "a shard").name)
    );
    const queue = shards.flatMap(([, tensors]) => tensors);
    const left = new Map(shards.map(([index, tensors]) => [index, tensors.length]));
    const runners = this.runners(queue.length);
    let next = 0;
    const serve = async (runner: Runner) => {
      for (let i = next++; i < queue.length && !this.stopped; i = next++) {
        this.checkAborted();
        const tensor = defined(queue[i], "a tensor");
        this.done(tensor, await runner.run(this.job(tensor)));
        this.report("convert");
        const rest = defined(left.get(tensor.shard), "its shard") - 1;
        left.set(tensor.shard, rest);
        if (rest === 0) await this.finishShard(state, tensor.shard);
      }
    };
    try {
      await Promise.all(runners.map(async (runner) => {
        try {
          await serve(runner);
        } catch (error) {
          this.stopped = true;
          throw error;
        }
      }));
    } finally {
      this.stopped = true;
      for (const runner of runners) runner.close();
    }
  }

  private runners(jobs: number): Runner[] {
    const small = this.checkpoint.bytes < limits.convertInlineBytes;
    const wanted = this.options.workers ?? (small ? 0 : availableParallelism());
    const count = Math.min(wanted, limits.convertWorkers, jobs);
    return count === 0 ? [inlineRunner()] : Array.from({ length: count }, threadRunner);
  }

  private checkAborted(): void {
    if (!this.options.signal?.aborted) return;
    throw new ArcticError(
      "engine_aborted",
      `The conversion to ${this.output} was stopped. Run the same command again to go on.`,
      { exit: 130 },
    );
  }

  private job(tensor: PlacedTensor): TensorJob {
    const { spec, stride, data, scales, shard } = tensor;
    const { name, bytes } = defined(this.layout.shards[shard], "a shard");
    const file = this.partial.get(shard) ?? createPartial(this.output, name, bytes);
    this.partial.set(shard, file);
    const { dtype, cols } = spec;
    return { dtype, cols, stride, data, scales, sources: this.sourcesOf(tensor), file };
  }

  private async finishShard(state: ConvertState, index: number): Promise<void> {
    const { name } = defined(this.layout.shards[index], "a shard");
    const sums = defined(this.byShard().get(index), "its tensors")
      .map(({ spec }) => defined(this.checksums.get(spec.name), "a checksum"));
    await finishPartial(this.output, name, () => state.finish(name, sums));
  }

  private finish(): { manifest: Manifest; bytes: number } {
    this.report("finish");
    const { checkpoint, layout, output } = this;
    if (readCheckpoint(this.source).identity !== checkpoint.identity) {
      throw new ArcticError(
        "weights_source_changed",
        `${this.source} changed during the conversion. Run the same command again.`,
      );
    }
    assert(this.checksums.size === layout.tensors.length, "every tensor has a checksum");
    const files = [...checkpoint.kept].map(([name, bytes]) => {
      writeWhole(output, name, bytes);
      const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
      return { name, bytes: bytes.length, sha256 };
    });
    const manifest: Manifest = {
      format: FORMAT,
      version: FORMAT_VERSION,
      config: checkpoint.config,
      sourceConfig: checkpoint.sourceConfig,
      files,
      shards: layout.shards,
      tensors: layout.tensors.map((tensor) =>
        storedForm(tensor, defined(this.checksums.get(tensor.spec.name), "a checksum"))
      ),
    };
    writeWhole(output, MANIFEST_FILE, encodeManifest(manifest));
    removeState(output);
    return { manifest, bytes: shardBytes(manifest) };
  }
}

function shardBytes(manifest: Manifest): number {
  return manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0);
}
