/**
 * config.json to ModelConfig. The configuration class of Arctic has defaults that are not the real
 * model's, so a key that decides the result must be there; nothing is guessed.
 */

import { ArcticError } from "../src/errors.ts";
import type { ErrorCode } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import type { LayerKind, ModelConfig } from "./config.ts";
import { quote } from "./strict-json.ts";

type Source = Readonly<Record<string, unknown>>;

/** What ArcticConfig would silently take for a missing key. The real model has other values. */
const CLASS_DEFAULTS: Readonly<Record<string, string>> = {
  rope_theta: "1000000, while the published model has 10000",
  moe_layer_frequency: "2, while the published model has 1",
  parallel_attn_mlp_res: "false, while the published model has true",
  num_experts_per_tok: "1, while the published model has 2",
  num_local_experts: "8, while the published model has 128",
  num_key_value_heads: "num_attention_heads, while the published model has 8 of 56",
  rms_norm_eps: "1e-5",
  max_position_embeddings: "4096",
};

/** Families people will try, and what to tell them. */
const OTHER_FAMILIES: Readonly<Record<string, string>> = {
  llama: "Llama",
  mistral: "Mistral",
  mixtral: "Mixtral",
  qwen2: "Qwen2",
  qwen2_moe: "Qwen2-MoE",
  qwen3: "Qwen3",
  qwen3_moe: "Qwen3-MoE",
  gemma: "Gemma",
  gpt2: "GPT-2",
  deepseek_v2: "DeepSeek-V2",
  deepseek_v3: "DeepSeek-V3",
};

function refuse(code: ErrorCode, message: string): never {
  throw new ArcticError(code, `config.json: ${message}`);
}

function shown(value: unknown): string {
  return quote(JSON.stringify(value) ?? String(value)).slice(1, -1).replaceAll('\\"', '"');
}

/** The value of a key that must be there and not null. */
function need(source: Source, key: string): unknown {
  const value = Object.hasOwn(source, key) ? source[key] : undefined;
  if (value !== undefined && value !== null) return value;
  const fallback = CLASS_DEFAULTS[key];
  refuse(
    "config_missing_key",
    `the key "${key}" is missing` +
      (fallback === undefined
        ? ". Add it with the model's value."
        : `. The class default would be ${fallback}; add the key with this model's value.`),
  );
}

function whole(source: Source, key: string, least: number, most: number): number {
  const value = need(source, key);
  if (typeof value !== "number" || !Number.isInteger(value)) {
    refuse("config_bad_value", `"${key}" is ${shown(value)}; a whole number is needed.`);
  }
  if (value < least || value > most) {
    refuse("config_out_of_range", `"${key}" is ${value}; arctic takes ${least} to ${most}.`);
  }
  return value;
}

function positive(source: Source, key: string, most: number): number {
  const value = need(source, key);
  if (typeof value !== "number" || !Number.isFinite(value)) {
    refuse("config_bad_value", `"${key}" is ${shown(value)}; a number is needed.`);
  }
  if (value <= 0 || value > most) {
    refuse("config_out_of_range", `"${key}" is ${value}; it must be above 0 and at most ${most}.`);
  }
  return value;
}

function flag(source: Source, key: string, fallback?: boolean): boolean {
  const given = Object.hasOwn(source, key) && source[key] !== null && source[key] !== undefined;
  if (!given && fallback !== undefined) return fallback;
  const value = need(source, key);
  if (typeof value !== "boolean") {
    refuse("config_bad_value", `"${key}" is ${shown(value)}; true or false is needed.`);
  }
  return value;
}

/**
 * The model that a config.json describes. `auto_map` and everything that only training reads are
 * ignored; nothing in the file is ever run.
 *
 * May be absent, because one value alone is supported or harmless: hidden_act ("silu"),
 * sliding_window (null), rope_scaling (null), tie_word_embeddings (false: a tied checkpoint has no
 * lm_head, so a wrong guess is a missing tensor, never a wrong answer), head_dim (hidden / heads).
 *
 * @throws ArcticError `config_missing_key`, `config_bad_value`, `config_out_of_range`,
 *   `config_unsupported`, `config_family_unsupported`, `config_quantized`
 */
export function parseConfig(json: unknown): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    refuse("config_bad_value", "the document is not a JSON object.");
  }
  const source = json as Source;
  checkFamily(source);
  checkQuantization(source);
  checkUnsupported(source);

  const hiddenSize = whole(source, "hidden_size", 1, limits.hiddenSize);
  const layers = whole(source, "num_hidden_layers", 1, limits.layers);
  const heads = whole(source, "num_attention_heads", 1, limits.heads);
  const kvHeads = whole(source, "num_key_value_heads", 1, limits.heads);
  const intermediateSize = whole(source, "intermediate_size", 1, limits.intermediateSize);
  const experts = whole(source, "num_local_experts", 1, limits.experts);
  const expertsPerToken = whole(source, "num_experts_per_tok", 1, limits.expertsPerToken);
  const vocabulary = whole(source, "vocab_size", 1, limits.vocabulary);
  const contextTokens = whole(source, "max_position_embeddings", 1, limits.contextTokens);
  if (heads % kvHeads !== 0) {
    refuse(
      "config_bad_value",
      `num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}.`,
    );
  }
  if (expertsPerToken > experts) {
    refuse(
      "config_bad_value",
      `num_experts_per_tok ${expertsPerToken} is more than num_local_experts ${experts}.`,
    );
  }
  return {
    family: "arctic",
    hiddenSize,
    layers,
    heads,
    kvHeads,
    headDim: headDimension(source, hiddenSize, heads),
    intermediateSize,
    experts,
    expertsPerToken,
    vocabulary,
    contextTokens,
    ropeTheta: ropeTheta(source),
    normEps: positive(source, "rms_norm_eps", 1),
    tiedEmbeddings: flag(source, "tie_word_embeddings", false),
    bosToken: specialToken(source, "bos_token_id", vocabulary),
    eosToken: specialToken(source, "eos_token_id", vocabulary),
    layerKinds: layerKinds(source, layers),
  };
}

function checkFamily(source: Source): void {
  const type = need(source, "model_type");
  if (type === "arctic") return;
  if (typeof type !== "string") {
    refuse("config_bad_value", `"model_type" is ${shown(type)}; a name is needed.`);
  }
  const known = Object.hasOwn(OTHER_FAMILIES, type) ? OTHER_FAMILIES[type] : undefined;
  refuse(
    "config_family_unsupported",
    known === undefined
      ? `"model_type" is ${quote(type)}, which arctic does not know. It converts "arctic" only.`
      : `this is a ${known} checkpoint ("model_type" is ${
        quote(type)
      }). ${known} checkpoints come ` +
        'later; today arctic converts "arctic" only.',
  );
}

function checkQuantization(source: Source): void {
  for (const [key, value] of Object.entries(source)) {
    const quantised = key === "quantization" || key === "quantization_config" ||
      key.startsWith("ds_");
    if (!quantised || value === null || value === false) continue;
    refuse(
      "config_quantized",
      `"${key}" is set, so the weights are quantised or carry adapters already. Convert from the ` +
        "bf16 checkpoint.",
    );
  }
}

function checkUnsupported(source: Source): void {
  const activation = source["hidden_act"] ?? "silu";
  if (activation !== "silu") {
    refuse(
      "config_unsupported",
      `"hidden_act" is ${shown(activation)}; Arctic's MLPs use "silu" and no other is implemented.`,
    );
  }
  const window = source["sliding_window"] ?? null;
  if (window !== null) {
    refuse(
      "config_unsupported",
      `"sliding_window" is ${shown(window)}; implementations disagree on what it means, and the ` +
        "published model has null.",
    );
  }
  for (const key of ["attention_bias", "mlp_bias"]) {
    if ((source[key] ?? false) !== false) {
      refuse("config_unsupported", `"${key}" is set; Arctic's projections have no biases.`);
    }
  }
}

function headDimension(source: Source, hiddenSize: number, heads: number): number {
  if (hiddenSize % heads !== 0) {
    refuse(
      "config_bad_value",
      `hidden_size ${hiddenSize} is no multiple of num_attention_heads ${heads}.`,
    );
  }
  const headDim = hiddenSize / heads;
  if (headDim % 2 !== 0) {
    refuse("config_bad_value", `heads are ${headDim} wide; rotary embedding needs an even width.`);
  }
  const given = source["head_dim"] ?? headDim;
  if (given !== headDim) {
    refuse(
      "config_unsupported",
      `"head_dim" is ${shown(given)}, but hidden_size / num_attention_heads is ${headDim}.`,
    );
  }
  return headDim;
}

/** From rope_theta or, as newer files have it, rope_parameters.rope_theta; scaled RoPE is refused. */
function ropeTheta(source: Source): number {
  const nested: Source[] = [];
  for (const key of ["rope_parameters", "rope_scaling"]) {
    const value = source[key] ?? null;
    if (value === null) continue;
    if (typeof value !== "object" || Array.isArray(value)) {
      refuse("config_bad_value", `"${key}" is ${shown(value)}; an object or null is needed.`);
    }
    const parameters = value as Source;
    const type = parameters["rope_type"] ?? parameters["type"] ?? "default";
    if (type !== "default") {
      refuse(
        "config_unsupported",
        `"${key}" asks for RoPE of type ${shown(type)}; only "default" is implemented.`,
      );
    }
    if ((parameters["factor"] ?? 1) !== 1) {
      refuse("config_unsupported", `"${key}" scales RoPE by ${shown(parameters["factor"])}.`);
    }
    if (key === "rope_parameters") nested.push(parameters);
  }
  const inner = nested.find((parameters) => (parameters["rope_theta"] ?? null) !== null);
  if (inner === undefined) return positive(source, "rope_theta", 1e12);
  const theta = positive(inner, "rope_theta", 1e12);
  const outer = source["rope_theta"] ?? theta;
  if (outer !== theta) {
    refuse(
      "config_bad_value",
      `"rope_theta" is ${shown(outer)}, but rope_parameters.rope_theta is ${theta}.`,
    );
  }
  return theta;
}

function specialToken(source: Source, key: string, vocabulary: number): number {
  const value = need(source, key);
  if (Array.isArray(value)) {
    refuse("config_unsupported", `"${key}" is a list; arctic takes one id.`);
  }
  return whole(source, key, 0, vocabulary - 1);
}

/** Layer i is MoE where (i + 1) is a multiple of moe_layer_frequency (modeling_arctic). */
function layerKinds(source: Source, layers: number): LayerKind[] {
  const frequency = whole(source, "moe_layer_frequency", 1, limits.layers);
  const moe = flag(source, "parallel_attn_mlp_res") ? "parallel-moe" : "serial-moe";
  // Servers other than the original read use_residual instead; the tensors decide in huggingface.ts.
  flag(source, "use_residual", true);
  return Array.from({ length: layers }, (_, i) => (i + 1) % frequency === 0 ? moe : "dense");
}
