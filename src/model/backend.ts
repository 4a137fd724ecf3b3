/**
 * What a device must be able to do, in the model's own steps. The forward pass in arctic.ts is
 * written against this interface alone; backend/gpu and backend/cpu each implement it, one op a file.
 *
 * Ops take effect in the order they are called. They may only be recorded (GPU); nothing is certain
 * to have run until `route` or `logits` has resolved. Rows are the tokens of the batch, of any mix
 * of sequences. All activations are f32; accumulation is f32.
 */

import type { ModelConfig } from "../../weights-manifest/config.ts";
import type { ExpertRecord, StoredTensor } from "../../weights-manifest/schema.ts";

/** f32 workspace of [rows of the largest batch, width], zero when made. */
export interface Activations {
  readonly width: number;
}

/** A matrix of FP8 rows made available to the device. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
}

/** The embedding table, bf16. */
export interface Table {
  readonly rows: number;
  readonly cols: number;
}

/** An f32 vector or small f32 matrix: a norm's weight, a router. */
export interface Weights {
  readonly rows: number;
  readonly cols: number;
}

/** All experts of one layer; the backend decides which of them are resident. */
export interface Experts {
  readonly layer: number;
  readonly count: number;
}

/** The un-rotated keys and the values of one layer, in pages. */
export interface KvLayer {
  readonly layer: number;
}

/**
 * Where a sequence's keys and values live, and what its queries may see.
 *
 * A query at position t sees n = min(t, sinks + window) + 1 entries, slots 0..n-1: slot j holds
 * position j when j < sinks, and position t - (n - 1) + j otherwise. Keys are stored before RoPE;
 * in a score the key in slot j is rotated by j and the query by n - 1 (StreamingLLM, Xiao et al.
 * 2023, section 3.2; with nothing evicted this is plain causal attention).
 *
 * Position p is stored in entry e(p) = p when p < sinks, else sinks + (p - sinks) mod ring; entry e
 * is row e mod pageTokens of page pages[floor(e / pageTokens)].
 */
export interface SequenceView {
  readonly pages: Uint32Array;
  readonly sinks: number;
  readonly window: number;
  /** Entries after the sinks before positions wrap around: at least window + rows in one batch. */
  readonly ring: number;
}

/** The rows of one forward pass. A sequence's rows are adjacent and in order of position. */
export interface Batch {
  readonly tokens: Uint32Array;
  /** Index into `sequences`, one a row. */
  readonly sequence: Uint32Array;
  /** Position in its sequence, one a row; an endless sequence goes beyond 2^32. */
  readonly position: Float64Array | Uint32Array;
  readonly sequences: readonly SequenceView[];
  /** Rows whose logits are wanted, ascending. */
  readonly logitRows: Uint32Array;
}

/** The router's choice for every row of a batch: k experts a row, likeliest first. */
export interface Routing {
  readonly expertsPerToken: number;
  /** [rows, k] */
  readonly experts: Uint32Array;
  /** [rows, k] */
  readonly weights: Float32Array;
}

/** What loaded weights take; for `bench` and the logs. */
export interface Memory {
  readonly weightBytes: number;
  readonly kvBytes: number;
}

/** What a kernel reads, from wherever the weights are. Implemented over weights-manifest's reader. */
export interface WeightSource {
  readonly config: ModelConfig;
  tensor(name: string): StoredTensor;
  expert(layer: number, expert: number): ExpertRecord;
  /** `use` sees the bytes of a range of a shard; they are only valid until it returns. */
  withBytes<T>(shard: number, offset: number, bytes: number, use: (bytes: Uint8Array) => T): T;
  /** The bytes of a range of a shard, valid until the source is closed. */
  mapped(shard: number, offset: number, bytes: number): Uint8Array;
}

export interface BackendOptions {
  /** Rows of the largest batch. */
  readonly maxRows: number;
  /** Logit rows of the largest batch. */
  readonly maxLogitRows: number;
  /** KV pages in the pool, shared by all sequences. */
  readonly pages: number;
  /** Slots that RoPE must know: the largest sinks + window + 1. */
  readonly slots: number;
}

export interface Backend {
  /** "gpu" or "cpu". */
  readonly kind: "gpu" | "cpu";
  /** Human name of the device. */
  readonly device: string;

  // Setting up, once.
  activations(width: number): Activations;
  table(tensor: StoredTensor): Promise<Table>;
  matrix(tensor: StoredTensor): Promise<Matrix>;
  weights(tensor: StoredTensor): Promise<Weights>;
  experts(layer: number): Promise<Experts>;
  kv(layer: number): KvLayer;
  memory(): Memory;
  /** Bytes a second at which the device reads its memory at best, measured; for `bench`. */
  measureReadBandwidth(): Promise<number>;
  close(): void;

  // One forward pass. `begin` comes first and makes the batch known to all ops after it.
  begin(batch: Batch): void;
  /** out[r] = table[tokens[r]] */
  embed(out: Activations, table: Table): void;
  /** out[i][r] = x[r] / sqrt(mean(x[r]^2) + eps) * weights[i], for one or two weights */
  rmsNorm(
    out: readonly Activations[],
    x: Activations,
    weights: readonly Weights[],
    eps: number,
  ): void;
  /** out[r] = matrix x[r], or out[r] += matrix x[r] when `add` */
  linear(out: Activations, matrix: Matrix, x: Activations, add: boolean): void;
  /** out[r] = silu(gate x[r]) * (up x[r]); the matrix holds gate's rows, then up's */
  gateUp(out: Activations, matrix: Matrix, x: Activations): void;
  /** Rotates the query heads of qkv [rows, (heads + 2 kvHeads) headDim] in place, each row by its slot */
  rope(qkv: Activations): void;
  /** Stores the (un-rotated) keys and values of qkv in the pages of their sequences */
  kvWrite(kv: KvLayer, qkv: Activations): void;
  /** out[r] = softmax(q k^T / sqrt(headDim)) v over the entries that row r sees */
  attention(out: Activations, qkv: Activations, kv: KvLayer): void;
  /**
   * Softmax over all experts in f32, the k largest (ties: the lower id), renormalised when k > 1. A row
   * that is NaN gets k different experts and NaN weights; the rows beside it do not notice.
   */
  route(x: Activations, router: Weights): Promise<Routing>;
  /**
   * out[r] += sum over the chosen experts of weight * down(silu(gate x[r]) * (up x[r]))
   * @param onExpert called after each expert: one that comes from a disk takes its time
   */
  expertMlp(
    out: Activations,
    experts: Experts,
    routing: Routing,
    x: Activations,
    onExpert?: () => void,
  ): Promise<void>;
  /**
   * The rows named by batch.logitRows of head(x), as [logitRows, vocabulary]. The backend's own memory:
   * valid until the next call.
   */
  logits(head: Matrix, x: Activations): Promise<Float32Array>;
}
