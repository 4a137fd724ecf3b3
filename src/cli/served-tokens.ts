/** For how many tokens a server keeps keys and values. */

import { limits } from "../limits.ts";
import type { Model } from "../../weights-manifest/reader.ts";

/**
 * What was asked for, or what the memory set aside for them holds: at least two contexts, so that an
 * answer without end, which keeps its window for itself, leaves room for all others.
 */
export function servedTokens({ config }: Pick<Model, "config">, asked: number | undefined): number {
  if (asked !== undefined) return asked;
  const { layers, kvHeads, headDim, contextTokens } = config;
  const bytes = Float32Array.BYTES_PER_ELEMENT * 2 * layers * kvHeads * headDim;
  const room = Math.floor(limits.servedKvBytes / bytes);
  const two = 2 * contextTokens + limits.chunkTokens;
  return Math.min(
    limits.kvTokens,
    Math.max(two, Math.min(room, limits.runningRequests * contextTokens)),
  );
}
