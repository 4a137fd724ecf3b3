import { type Binding, type Gpu, type Pipeline, whole } from "./context.ts";
import type { HeadShape } from "./head-shape.ts";
import type { KvBuffers } from "./kv-write.ts";
import type { RopeTable } from "./rope.ts";
import type { Rows } from "./rows.ts";

/** What both attention kernels read and write. */
export interface AttentionInput {
  /** f32 [rows, heads headDim] */
  readonly out: Binding;
  /** f32 [rows, (heads + 2 kvHeads) headDim], queries rotated */
  readonly qkv: Binding;
  readonly kv: KvBuffers;
  readonly rows: Rows;
  readonly table: RopeTable;
}

/** Lanes of a workgroup: one a dimension of a head at least. */
export function attentionThreads(shape: HeadShape): number {
  return Math.max(64, Math.ceil(shape.headDim / 64) * 64);
}

/** Constants of every attention kernel. */
export function attentionConstants(shape: HeadShape): Readonly<Record<string, number>> {
  return {
    HEADS: shape.heads,
    KV_HEADS: shape.kvHeads,
    HEAD_DIM: shape.headDim,
    PAGE_TOKENS: shape.pageTokens,
  };
}

/** The second vec4 of the kernels' parameters, for workgroups that hold `vecs` vec4s of queries. */
export function attentionParams(shape: HeadShape, table: RopeTable, vecs: number): number[] {
  const parts = Math.floor(attentionThreads(shape) / (4 * vecs));
  return [shape.headDim / 2, parts, table.slots, 8];
}

/** Workgroups that keep a hardware adapter busy; a software adapter is busy with two a core. */
const BUSY_WORKGROUPS = 256;

/** Lanes of the subgroups that the .subgroup kernels of attention are written for: software adapters'. */
const SOFTWARE_SUBGROUP = 8;

/** Whether attention's .subgroup kernels run on this device and take heads of this width. */
export function subgroupAttention(gpu: Gpu, { headDim }: HeadShape): boolean {
  return gpu.subgroupSize === SOFTWARE_SUBGROUP && headDim % 16 === 0 && headDim <= 64;
}

/**
 * Attention of rows that do not share keys, or not all of them: each row by itself over its own n
 * entries. Where there are few rows, their entries are split over workgroups and joined by a second
 * dispatch.
 */
export class AttentionDecode {
  readonly #gpu: Gpu;
  readonly #shape: HeadShape;
  /** vec4s of heads a workgroup takes. */
  readonly #vecs: number;
  readonly #bundles: number;
  readonly #busy: number;
  readonly #parts: Binding;
  #pipeline: Pipeline | null = null;

  constructor(gpu: Gpu, shape: HeadShape) {
    this.#gpu = gpu;
    this.#shape = shape;
    const { heads, kvHeads, headDim } = shape;
    const group = heads / kvHeads;
    const software = subgroupAttention(gpu, shape);
    this.#vecs = !software && group > 4 && headDim <= 128 ? 2 : 1;
    this.#bundles = kvHeads * Math.ceil(group / (4 * this.#vecs));
    this.#busy = gpu.subgroupSize > SOFTWARE_SUBGROUP
      ? BUSY_WORKGROUPS
      : 2 * Math.max(2, navigator.hardwareConcurrency);
    const parts = this.#busy * 4 * this.#vecs * (headDim + 2);
    this.#parts = whole(gpu.buffer("attention parts", parts * 4));
  }

  /** Not before it is needed: small models may do without (attention-small.ts). */
  #rowsPipeline(): Pipeline {
    const constants = attentionConstants(this.#shape);
    return this.#pipeline ??= subgroupAttention(this.#gpu, this.#shape)
      ? this.#gpu.pipeline("attention-decode.subgroup", constants)
      : this.#gpu.pipeline("attention-decode", {
        ...constants,
        VECS: this.#vecs,
        THREADS: attentionThreads(this.#shape),
      });
  }

  /** Rows first .. first + count - 1 of the batch; `entries` is the most that one of them sees. */
  record(input: AttentionInput, first: number, count: number, entries: number): void {
    const { out, qkv, kv, rows, table } = input;
    const tile = attentionThreads(this.#shape);
    const most = Math.max(1, Math.floor(this.#busy / (count * this.#bundles)));
    const chunk = Math.ceil(entries / most / tile) * tile;
    const splits = Math.ceil(entries / chunk);
    const partial = splits > 1;
    const params = this.#gpu.params([
      ...[first, chunk, splits, partial ? 1 : 0],
      ...attentionParams(this.#shape, table, this.#vecs),
    ]);
    const target = partial ? this.#parts : out;
    this.#gpu.dispatch(
      this.#rowsPipeline(),
      [qkv, kv.keys, kv.values, rows.table, rows.pages, table.angles, target, params],
      [splits, this.#bundles, count],
    );
    if (partial) this.#combine(out, rows, count, params);
  }

  #combine(out: Binding, rows: Rows, count: number, params: Binding): void {
    const { heads, headDim } = this.#shape;
    const pipeline = this.#gpu.pipeline("attention-decode.combine", {
      HEADS: heads,
      HEAD_DIM: headDim,
      THREADS: attentionThreads(this.#shape),
    });
    this.#gpu.dispatch(pipeline, [this.#parts, rows.table, out, params], [heads, count]);
  }
}
