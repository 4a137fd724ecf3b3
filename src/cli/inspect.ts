/** `arctic inspect`: what a model folder holds. */

import { modelSizes } from "../../weights-manifest/inspect.ts";
import { type Model, openModel } from "../../weights-manifest/reader.ts";
import type { StoredTensor } from "../../weights-manifest/schema.ts";
import { Exit, type ExitCode } from "../errors.ts";
import type { Context } from "./context.ts";
import type { Invocation } from "./flags.ts";
import type { Output } from "./output.ts";
import { bytes, count } from "./units.ts";
import { bytesReadPerToken, storedBytes } from "./weights-read.ts";

/** @throws ArcticError `weights_…` */
export async function inspect(
  { options, arguments: [folder = ""] }: Invocation<"inspect">,
  { output, signal }: Context,
): Promise<ExitCode> {
  const model = openModel(folder);
  try {
    if (options.json) await output.json(document(model, options.tensors));
    else await print(model, options.tensors, output, signal);
    return Exit.done;
  } finally {
    model.close();
  }
}

function document(model: Model, tensors: boolean): unknown {
  const { manifest } = model;
  return {
    model: model.folder,
    format_version: manifest.version,
    ...modelSizes(manifest),
    weight_bytes_per_token: bytesReadPerToken(manifest),
    sparse: isSparse(model),
    // config.json as it was, and what arctic understands of it.
    config: manifest.sourceConfig,
    shape: manifest.config,
    files: manifest.files,
    shards: manifest.shards,
    ...(tensors ? { tensors: manifest.tensors.map((tensor) => describe(model, tensor)) } : {}),
  };
}

function describe(model: Model, tensor: StoredTensor): unknown {
  const { name, dtype, rows, cols, stride, sources, sha256 } = tensor;
  return {
    name,
    dtype,
    shape: [rows, cols],
    stride,
    bytes: storedBytes(tensor),
    shard: model.manifest.shards[tensor.shard]?.name,
    offset: tensor.data.offset,
    scales: scaleRange(model, tensor),
    sources,
    sha256,
  };
}

function isSparse({ manifest }: Model): boolean {
  return manifest.tensors.every((tensor) => tensor.sha256 === null);
}

/** The smallest and the largest scale of a matrix; null where there are none. */
function scaleRange(model: Model, tensor: StoredTensor): { min: number; max: number } | null {
  if (tensor.scales === null) return null;
  let min = Infinity;
  let max = -Infinity;
  for (const scale of model.readScales(tensor)) {
    min = Math.min(min, scale);
    max = Math.max(max, scale);
  }
  return { min, max };
}

async function print(
  model: Model,
  tensors: boolean,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const { manifest, config } = model;
  const sizes = modelSizes(manifest);
  const kinds = Object.entries(sizes.bytes_by_kind).filter(([, size]) => size > 0)
    .sort(([, a], [, b]) => b - a);
  const rows: [string, string][] = [
    ["parameters", `${count(sizes.parameters)} (${sizes.parameters})`],
    ["active", `${count(sizes.active_parameters)} a token (${sizes.active_parameters})`],
    ["bytes", `${bytes(sizes.bytes)} in ${manifest.shards.length} shards`],
    ...kinds.map(([kind, size]): [string, string] => [`  ${kind}`, bytes(size)]),
    ["read a token", bytes(bytesReadPerToken(manifest))],
    ["layers", `${config.layers}: ${layerText(config.layerKinds)}`],
    ["hidden", `${config.hiddenSize}, experts and dense MLPs ${config.intermediateSize}`],
    ["heads", `${config.heads}, ${config.kvHeads} for keys and values, of ${config.headDim}`],
    ["experts", `${config.experts}, ${config.expertsPerToken} a token`],
    ["vocabulary", String(config.vocabulary)],
    ["context", `${config.contextTokens} tokens`],
    ["tokens", `BOS ${config.bosToken}, EOS ${config.eosToken}`],
    ["files", manifest.files.map((file) => file.name).join(", ") || "none: no tokenizer"],
  ];
  if (isSparse(model)) rows.push(["sparse", "no weights on disk: for timing only"]);
  await output.write(rows.map(([name, value]) => `${`${name}:`.padEnd(15)}${value}\n`).join(""));
  if (!tensors) return;
  await output.write("\n");
  for (const tensor of manifest.tensors) {
    signal.throwIfAborted();
    await output.write(tensorLine(model, tensor));
  }
}

function layerText(kinds: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, n]) => `${n} ${kind}`).join(", ");
}

function tensorLine(model: Model, tensor: StoredTensor): string {
  const { name, dtype, rows, cols } = tensor;
  const range = scaleRange(model, tensor);
  const scales = range === null ? "" : `  scales ${power(range.min)} to ${power(range.max)}`;
  const shape = `[${rows}, ${cols}]`;
  return `${name.padEnd(32)} ${dtype.padEnd(4)} ${shape.padEnd(16)} ${
    bytes(storedBytes(tensor)).padStart(8)
  }${scales}\n`;
}

/** Scales are powers of two; a sparse model's are zero. */
function power(scale: number): string {
  return scale === 0 ? "0" : `2^${Math.log2(scale)}`;
}
