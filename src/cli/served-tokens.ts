/** For how many tokens a server keeps keys and values. */

import { limits } from "../limits.ts";
import type { Model } from "../../weights-manifest/reader.ts";

/**
 * What was asked for, or what the memory set aside for them holds: two contexts where one binding a
 * layer can have them, so that an answer without end, which keeps its window for itself, leaves room.
 */
export function servedTokens({ config }: Pick<Model, "config">, asked: number | undefined): number {
  if (asked !== undefined) return asked;
  const { layers, kvHeads, headDim } = config;
  const context = Math.min(config.contextTokens, limits.kvTokens);
  const bytes = Float32Array.BYTES_PER_ELEMENT * kvHeads * headDim;
  const room = Math.floor(limits.servedKvBytes / (2 * layers * bytes));
  const bindable = Math.floor(limits.bindingBytes / bytes);
  const useful = Math.min(room, limits.runningRequests * context, limits.kvTokens);
  return Math.min(bindable, Math.max(2 * context + limits.chunkTokens, useful));
}
