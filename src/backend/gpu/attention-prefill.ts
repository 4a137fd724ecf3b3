import {
  attentionConstants,
  type AttentionInput,
  attentionParams,
  attentionThreads,
  subgroupAttention,
} from "./attention-decode.ts";
import type { Gpu } from "./context.ts";
import type { HeadShape } from "./head-shape.ts";

const WORKGROUP_BYTES = 16 * 1024;

/**
 * vec4s of query vectors that fit a workgroup's storage beside the scores (attention-prefill.wgsl),
 * cut to whole queries of all heads of a group where at least one fits.
 */
export function prefillVectors(shape: HeadShape): number {
  const threads = attentionThreads(shape);
  const most = Math.floor((WORKGROUP_BYTES - 8 * threads) / (16 * (threads + shape.headDim)));
  return Math.max(1, Math.min(4, most));
}

/**
 * Causal attention of adjacent rows of one sequence, of which nothing has been evicted: rows first ..
 * first + count - 1 of the batch.
 */
export function attentionPrefill(
  gpu: Gpu,
  input: AttentionInput,
  shape: HeadShape,
  first: number,
  count: number,
): void {
  const { out, qkv, kv, rows, table } = input;
  const software = subgroupAttention(gpu, shape);
  const vecs = software ? 4 : prefillVectors(shape);
  const group = shape.heads / shape.kvHeads;
  const bundle = Math.min(group, 4 * vecs);
  const queries = Math.floor(4 * vecs / bundle);
  const constants = attentionConstants(shape);
  const pipeline = software
    ? gpu.pipeline("attention-prefill.subgroup", constants)
    : gpu.pipeline("attention-prefill", {
      ...constants,
      VECS: vecs,
      THREADS: attentionThreads(shape),
    });
  const params = gpu.params([first, count, 4, 0, ...attentionParams(shape, table, vecs)]);
  gpu.dispatch(
    pipeline,
    [qkv, kv.keys, kv.values, rows.table, rows.pages, table.angles, out, params],
    [Math.ceil(count / queries), shape.kvHeads * Math.ceil(group / bundle)],
  );
}
