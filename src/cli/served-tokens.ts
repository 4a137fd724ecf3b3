/** For how many tokens a server keeps keys and values. */

import { limits } from "../limits.ts";
import type { Model } from "../../weights-manifest/reader.ts";

/** What was asked for, or what the memory set aside for them holds. */
export function servedTokens({ config }: Model, asked: number | undefined): number {
  const floats = 2 * config.layers * config.kvHeads * config.headDim;
  const room = Math.floor(limits.servedKvBytes / (Float32Array.BYTES_PER_ELEMENT * floats));
  const { contextTokens } = config;
  return asked ?? Math.min(room, limits.runningRequests * contextTokens, limits.kvTokens);
}
