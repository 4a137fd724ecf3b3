/** What a model folder holds, counted from its manifest alone. */

import type { ModelConfig } from "./config.ts";
import { readManifest } from "./manifest.ts";
import type { Manifest, Shard, StoredDtype, StoredTensor } from "./schema.ts";

/** What a tensor is for. */
export type WeightKind =
  | "embedding"
  | "head"
  | "attention"
  | "residual"
  | "dense"
  | "experts"
  | "router"
  | "norms";

export interface Sizes {
  /** Weights of the model; a tied head is counted once. */
  readonly parameters: number;
  /** Weights that take part in one token, the whole embedding table included. */
  readonly active_parameters: number;
  /** Bytes of codes, values and scales, padding of rows included. */
  readonly bytes: number;
  readonly bytes_by_kind: Readonly<Record<WeightKind, number>>;
}

export interface Inspection extends Sizes {
  readonly config: ModelConfig;
  readonly shards: readonly Shard[];
  readonly tensors: readonly StoredTensor[];
  /** How each stored type is scaled. */
  readonly scales: Readonly<Record<StoredDtype, string>>;
}

/** The kind of a stored tensor, by its name. */
export function weightKind(name: string): WeightKind {
  if (name === "embedding" || name === "head") return name;
  if (name.includes(".experts.")) return "experts";
  if (name.includes(".residual.")) return "residual";
  if (name.includes(".mlp.")) return "dense";
  if (name.endsWith(".router")) return "router";
  return name.endsWith("norm") ? "norms" : "attention";
}

/** Counts of a manifest; all are exact integers. */
export function modelSizes(manifest: Manifest): Sizes {
  const { config, tensors } = manifest;
  const bytesByKind: Record<WeightKind, number> = {
    ...{ embedding: 0, head: 0, attention: 0, residual: 0 },
    ...{ dense: 0, experts: 0, router: 0, norms: 0 },
  };
  let parameters = 0;
  let expertParameters = 0;
  let bytes = 0;
  for (const { name, rows, cols, data, scales } of tensors) {
    const kind = weightKind(name);
    const stored = data.bytes + (scales?.bytes ?? 0);
    bytes += stored;
    bytesByKind[kind] += stored;
    if (kind === "head" && config.tiedEmbeddings) continue;
    parameters += rows * cols;
    if (kind === "experts") expertParameters += rows * cols;
  }
  // All experts of a model have one shape, so the chosen ones are an exact share.
  const chosen = (expertParameters / config.experts) * config.expertsPerToken;
  return {
    parameters,
    active_parameters: parameters - expertParameters + chosen,
    bytes,
    bytes_by_kind: bytesByKind,
  };
}

/** Reads the manifest of a folder, no shard. @throws ArcticError `weights_*`, `config_*` */
export function inspect(folder: string): Inspection {
  const manifest = readManifest(folder);
  const { config, shards, tensors } = manifest;
  return {
    ...modelSizes(manifest),
    config,
    shards,
    tensors,
    scales: { e4m3: "one f32 a row", bf16: "none", f32: "none" },
  };
}
