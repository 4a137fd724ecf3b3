/** Which tensors of a Hugging Face Arctic checkpoint make up which stored tensor. */

import { ArcticError } from "../src/errors.ts";
import type { ModelConfig } from "./config.ts";
import type { SourceTensor } from "./safetensors.ts";
import type { StoredDtype } from "./schema.ts";
import { quote } from "./strict-json.ts";

/** A checkpoint tensor that a stored tensor is made of, with the shape it must have. */
export interface SourceSpec {
  readonly name: string;
  /** [out, in], or [width] of a norm. */
  readonly shape: readonly number[];
}

/** A stored tensor before it has a place: the sources stacked by rows. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly rows: number;
  readonly cols: number;
  readonly sources: readonly SourceSpec[];
  /** The record it belongs to. */
  readonly expert: { readonly layer: number; readonly expert: number } | null;
}

/** Every stored tensor of a model, in the order of the file: the dense part, then the experts. */
export function storedTensors(config: ModelConfig): TensorSpec[] {
  const { hiddenSize: hidden, vocabulary } = config;
  const embedding = "model.embed_tokens.weight";
  const dense = [matrix("embedding", "bf16", hidden, [[embedding, vocabulary]])];
  const experts: TensorSpec[] = [];
  config.layerKinds.forEach((_, layer) => {
    dense.push(...layerTensors(config, layer));
    experts.push(...expertTensors(config, layer));
  });
  dense.push(norm("norm", "model.norm.weight", hidden));
  const head = config.tiedEmbeddings ? embedding : "lm_head.weight";
  dense.push(matrix("head", "e4m3", hidden, [[head, vocabulary]]));
  return [...dense, ...experts];
}

function layerTensors(config: ModelConfig, layer: number): TensorSpec[] {
  const { hiddenSize: hidden, intermediateSize, heads, kvHeads, headDim } = config;
  const to = `layers.${layer}`;
  const from = `model.layers.${layer}`;
  const attention = `${from}.self_attn`;
  const moe = `${from}.block_sparse_moe`;
  const kind = config.layerKinds[layer];
  const tensors = [
    norm(`${to}.input_norm`, `${from}.input_layernorm.weight`, hidden),
    matrix(`${to}.qkv`, "e4m3", hidden, [
      [`${attention}.q_proj.weight`, heads * headDim],
      [`${attention}.k_proj.weight`, kvHeads * headDim],
      [`${attention}.v_proj.weight`, kvHeads * headDim],
    ]),
    matrix(`${to}.output`, "e4m3", heads * headDim, [[`${attention}.o_proj.weight`, hidden]]),
    norm(`${to}.post_attention_norm`, `${from}.post_attention_layernorm.weight`, hidden),
  ];
  if (kind === "parallel-moe") {
    tensors.push(norm(`${to}.residual_norm`, `${from}.residual_layernorm.weight`, hidden));
    tensors.push(...mlp(`${to}.residual`, `${from}.residual_mlp`, hidden, hidden));
  }
  if (kind === "dense") {
    tensors.push(...mlp(`${to}.mlp`, `${moe}.mlp`, hidden, intermediateSize));
  } else {
    tensors.push(matrix(`${to}.router`, "f32", hidden, [[`${moe}.gate.weight`, config.experts]]));
  }
  return tensors;
}

function expertTensors(config: ModelConfig, layer: number): TensorSpec[] {
  if (config.layerKinds[layer] === "dense") return [];
  return Array.from({ length: config.experts }, (_, expert) => {
    const to = `layers.${layer}.experts.${expert}`;
    const from = `model.layers.${layer}.block_sparse_moe.experts.${expert}`;
    return mlp(to, from, config.hiddenSize, config.intermediateSize)
      .map((spec) => ({ ...spec, expert: { layer, expert } }));
  }).flat();
}

/** gate_up [2 width, input] and down [input, width]. */
function mlp(to: string, from: string, input: number, width: number): TensorSpec[] {
  return [
    matrix(`${to}.gate_up`, "e4m3", input, [
      [`${from}.w1.weight`, width],
      [`${from}.w3.weight`, width],
    ]),
    matrix(`${to}.down`, "e4m3", width, [[`${from}.w2.weight`, input]]),
  ];
}

function matrix(
  name: string,
  dtype: StoredDtype,
  cols: number,
  parts: readonly (readonly [name: string, rows: number])[],
): TensorSpec {
  const sources = parts.map(([source, rows]) => ({ name: source, shape: [rows, cols] }));
  const rows = parts.reduce((sum, [, n]) => sum + n, 0);
  return { name, dtype, rows, cols, sources, expert: null };
}

function norm(name: string, source: string, width: number): TensorSpec {
  const sources = [{ name: source, shape: [width] }];
  return { name, dtype: "f32", rows: 1, cols: width, sources, expert: null };
}

/** Names beyond which a list in a message says only how many more there are. */
const NAMES_SHOWN = 8;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).join(", ");
  const more = names.length - NAMES_SHOWN;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/**
 * Checks that a checkpoint is exactly the model that its config.json describes.
 *
 * @param specs storedTensors(config)
 * @throws ArcticError `weights_contradicts_config`, `weights_missing_tensors`,
 *   `weights_unused_tensors`, `weights_shape_mismatch`
 */
export function checkCheckpoint(
  config: ModelConfig,
  specs: readonly TensorSpec[],
  sources: ReadonlyMap<string, SourceTensor>,
): void {
  checkResidual(config, sources);
  const wanted = new Map<string, SourceSpec>();
  for (const spec of specs) for (const source of spec.sources) wanted.set(source.name, source);

  const missing = [...wanted.keys()].filter((name) => !sources.has(name));
  if (missing.length > 0) {
    throw new ArcticError(
      "weights_missing_tensors",
      `The checkpoint lacks ${missing.length} of ${wanted.size} tensors that config.json calls for: ` +
        `${listed(missing)}. Fetch the missing files, or correct config.json.`,
    );
  }
  const unused = [...sources.keys()].filter((name) => !wanted.has(name));
  if (unused.length > 0) {
    throw new ArcticError(
      "weights_unused_tensors",
      `The checkpoint has ${unused.length} tensors that the model of config.json does not use: ` +
        `${listed(unused.map(quote))}. Converting without them would give another model; correct ` +
        "config.json.",
    );
  }
  for (const { name, shape } of wanted.values()) {
    const actual = sources.get(name)?.shape ?? [];
    if (actual.length !== shape.length || actual.some((n, i) => n !== shape[i])) {
      throw new ArcticError(
        "weights_shape_mismatch",
        `${name} is [${actual.join(", ")}], but config.json calls for [${shape.join(", ")}]` +
          `${shapeHint(config, name)}. The checkpoint and config.json are of different models.`,
      );
    }
  }
}

/** What the wanted number of rows comes from, where people meet two generations of a model. */
function shapeHint(config: ModelConfig, name: string): string {
  if (!/\.[kv]_proj\.weight$/.test(name)) return "";
  return ` (${config.kvHeads} key/value heads of ${config.headDim})`;
}

/** Which layers have a residual MLP is a setting that implementations read from different keys. */
function checkResidual(config: ModelConfig, sources: ReadonlyMap<string, SourceTensor>): void {
  config.layerKinds.forEach((kind, layer) => {
    const router = `model.layers.${layer}.block_sparse_moe.gate.weight`;
    if (kind === "dense" || !sources.has(router)) return;
    const name = `model.layers.${layer}.residual_mlp.w1.weight`;
    const found = sources.has(name);
    if (found === (kind === "parallel-moe")) return;
    throw new ArcticError(
      "weights_contradicts_config",
      `config.json has parallel_attn_mlp_res ${!found}, but the checkpoint has ${
        found ? "" : "no "
      }` +
        `residual MLP in layer ${layer} (${name}). Correct whichever is wrong.`,
    );
  });
}
