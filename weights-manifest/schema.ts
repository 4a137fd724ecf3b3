/**
 * The manifest: everything about a model folder that is not raw weight bytes.
 *
 * A stored tensor is what a kernel consumes, so projections that read the same input are stacked by
 * rows: q, k, v as `qkv`; w1 (gate) and w3 (up) as `gate_up`. `sources` keeps the checkpoint's names.
 *
 *     name                          dtype  shape                                  sources (HF)
 *     embedding                     bf16   [vocabulary, hidden]                   embed_tokens
 *     norm                          f32    [1, hidden]                            norm
 *     head                          e4m3   [vocabulary, hidden]                   lm_head (or embed_tokens, tied)
 *     layers.L.input_norm           f32    [1, hidden]
 *     layers.L.qkv                  e4m3   [(heads + 2 kvHeads) headDim, hidden]  q_proj, k_proj, v_proj
 *     layers.L.output               e4m3   [hidden, heads headDim]                o_proj
 *     layers.L.post_attention_norm  f32    [1, hidden]
 *   parallel-moe only
 *     layers.L.residual_norm        f32    [1, hidden]
 *     layers.L.residual.gate_up     e4m3   [2 hidden, hidden]                     residual_mlp.w1, w3
 *     layers.L.residual.down        e4m3   [hidden, hidden]                       residual_mlp.w2
 *   parallel-moe and serial-moe
 *     layers.L.router               f32    [experts, hidden]                      gate
 *     layers.L.experts.E.gate_up    e4m3   [2 intermediate, hidden]               w1, w3
 *     layers.L.experts.E.down       e4m3   [hidden, intermediate]                 w2
 *   dense only
 *     layers.L.mlp.gate_up          e4m3   [2 intermediate, hidden]               mlp.w1, w3
 *     layers.L.mlp.down             e4m3   [hidden, intermediate]                 mlp.w2
 *
 * e4m3: rows of OCP E4M3FN codes, each row padded with zero codes to `stride` bytes (a multiple of
 * 16), and one f32 scale a row; a weight is code x scale. Codes and scales start at
 * multiples of 256. The parts of an expert lie together, in this order, from a page boundary on:
 * gate_up codes, down codes, gate_up scales, down scales; the record is padded to a whole page.
 * f32 and bf16 rows are not padded (stride = columns x width).
 */

import type { ModelConfig } from "./config.ts";

export const FORMAT = "arctic-manifest";
export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = "manifest.msgpack";

export type StoredDtype = "e4m3" | "f32" | "bf16";

/** A range of bytes in a shard. */
export interface ByteRange {
  readonly offset: number;
  readonly bytes: number;
}

export interface StoredTensor {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly rows: number;
  readonly cols: number;
  /** Bytes from one row to the next. */
  readonly stride: number;
  /** Index into Manifest.shards. */
  readonly shard: number;
  readonly data: ByteRange;
  /** f32, one a row; only for e4m3. */
  readonly scales: ByteRange | null;
  /** Names in the source checkpoint, in row order. */
  readonly sources: readonly string[];
  /** Lower-case hex SHA-256 of the data bytes followed by the scale bytes. Null in a sparse model. */
  readonly sha256: string | null;
}

/** One expert: one contiguous, page-aligned range that holds both matrices and their scales. */
export interface ExpertRecord {
  readonly layer: number;
  readonly expert: number;
  readonly shard: number;
  readonly range: ByteRange;
  readonly gateUp: StoredTensor;
  readonly down: StoredTensor;
}

/** A small file kept beside the shards as it was: tokenizer.model, tokenizer_config.json, … */
export interface KeptFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Shard {
  /** File name inside the model folder. */
  readonly name: string;
  readonly bytes: number;
}

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly version: typeof FORMAT_VERSION;
  readonly config: ModelConfig;
  /** config.json as it was. */
  readonly sourceConfig: Readonly<Record<string, unknown>>;
  readonly files: readonly KeptFile[];
  readonly shards: readonly Shard[];
  readonly tensors: readonly StoredTensor[];
}
