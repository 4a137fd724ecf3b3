/**
 * Tiny random Arctic checkpoints whose weights lie on the E4M3 grid, so that conversion to FP8 loses
 * nothing and what a run differs from the reference by is the run's own error.
 *
 * Rows differ in scale by up to 16, experts and tensors too, so that a scale taken from the wrong
 * place shows. In a `subnormal` model only E4M3's subnormal codes carry the result.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface TinyShape {
  readonly seed: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly intermediate: number;
  readonly experts: number;
  readonly topK: number;
  readonly vocabulary: number;
  readonly parallel: boolean;
  readonly moeEvery: number;
  readonly tied: boolean;
  /** Standard deviation of the embeddings: small ones make rms_norm_eps visible. */
  readonly embed: number;
  readonly subnormal: boolean;
}

export const REAL_LIKE: TinyShape = {
  seed: 19,
  hidden: 48,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  intermediate: 40,
  experts: 8,
  topK: 2,
  vocabulary: 96,
  parallel: true,
  moeEvery: 1,
  tied: false,
  embed: 1,
  subnormal: false,
};

export const EPS = 1e-5;
export const THETA = 10_000;

export interface TinyTensor {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export interface TinyModel {
  readonly shape: TinyShape;
  readonly config: Record<string, unknown>;
  readonly tensors: ReadonlyMap<string, TinyTensor>;
}

/** Seeded numbers for test data (mulberry32), and normal deviates from them (Box and Muller). */
export function randomSource(seed: number) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal, below: (n: number) => Math.floor(uniform() * n) };
}

/** The nearest number with a 4-bit significand that is a multiple of 2^-9 (E4M3, scale 1). */
export function toE4m3Grid(x: number): number {
  if (x === 0) return 0;
  const exponent = Math.max(-6, Math.floor(Math.log2(Math.abs(x))));
  const step = 2 ** (exponent - 3);
  const q = Math.round(x / step) * step;
  return Math.sign(q) * Math.min(448, Math.abs(q));
}

export function tinyModel(overrides: Partial<TinyShape> = {}): TinyModel {
  const shape = { ...REAL_LIKE, ...overrides };
  const random = randomSource(shape.seed);
  const tensors = new Map<string, TinyTensor>();
  const headDim = shape.hidden / shape.heads;

  const matrix = (name: string, rows: number, cols: number, deviation: number) => {
    const values = new Float64Array(rows * cols);
    const tensorJitter = random.below(2);
    for (let r = 0; r < rows; r++) {
      const scale = 2 ** -(tensorJitter + random.below(4));
      for (let c = 0; c < cols; c++) {
        values[r * cols + c] = shape.subnormal && name !== "model.embed_tokens.weight"
          ? subnormalWeight(c, cols, random)
          : toE4m3Grid(random.normal() * 64) / 64 * pow2(deviation * 2) * scale;
      }
    }
    tensors.set(name, { shape: [rows, cols], values });
  };
  const norm = (name: string) => {
    const values = Float64Array.from(
      { length: shape.hidden },
      (_, i) => shape.subnormal && i === 0 ? 0 : toBf16(1 + 0.2 * random.normal()),
    );
    tensors.set(name, { shape: [shape.hidden], values });
  };
  const mlp = (prefix: string, width: number) => {
    matrix(`${prefix}w1.weight`, width, shape.hidden, 1 / Math.sqrt(shape.hidden));
    matrix(`${prefix}w3.weight`, width, shape.hidden, 1 / Math.sqrt(shape.hidden));
    matrix(`${prefix}w2.weight`, shape.hidden, width, 1 / Math.sqrt(width));
  };

  matrix("model.embed_tokens.weight", shape.vocabulary, shape.hidden, shape.embed);
  norm("model.norm.weight");
  if (!shape.tied) {
    matrix("lm_head.weight", shape.vocabulary, shape.hidden, 3 / Math.sqrt(shape.hidden));
  }
  for (let l = 0; l < shape.layers; l++) {
    const p = `model.layers.${l}.`;
    const deviation = 1.5 / Math.sqrt(shape.hidden);
    norm(`${p}input_layernorm.weight`);
    norm(`${p}post_attention_layernorm.weight`);
    matrix(`${p}self_attn.q_proj.weight`, shape.heads * headDim, shape.hidden, deviation);
    matrix(`${p}self_attn.k_proj.weight`, shape.kvHeads * headDim, shape.hidden, deviation);
    matrix(`${p}self_attn.v_proj.weight`, shape.kvHeads * headDim, shape.hidden, deviation);
    matrix(`${p}self_attn.o_proj.weight`, shape.hidden, shape.heads * headDim, deviation);
    const moe = (l + 1) % shape.moeEvery === 0;
    if (!moe) {
      mlp(`${p}block_sparse_moe.mlp.`, shape.intermediate);
      continue;
    }
    matrix(`${p}block_sparse_moe.gate.weight`, shape.experts, shape.hidden, deviation);
    for (let e = 0; e < shape.experts; e++) {
      mlp(`${p}block_sparse_moe.experts.${e}.`, shape.intermediate);
    }
    if (shape.parallel) {
      norm(`${p}residual_layernorm.weight`);
      mlp(`${p}residual_mlp.`, shape.hidden);
    }
  }
  if (shape.subnormal) silenceFirstInputs(tensors);
  return { shape, config: configOf(shape), tensors };
}

function pow2(x: number): number {
  return 2 ** Math.round(Math.log2(x));
}

/** 448 units on the first input, which is always zero; subnormal multiples of 2^-9 on the others. */
function subnormalWeight(
  col: number,
  cols: number,
  random: ReturnType<typeof randomSource>,
): number {
  const unit = pow2(128 / Math.sqrt(cols));
  if (col === 0) return 448 * unit;
  return (random.below(15) - 7) * 2 ** -9 * unit;
}

/**
 * Makes input 0 of every matrix zero: of those that read a norm, by the norm's weight; of o_proj, by
 * a zero row of v_proj; of w2, by a zero row of w1.
 */
function silenceFirstInputs(tensors: Map<string, TinyTensor>): void {
  for (const [name, { shape, values }] of tensors) {
    if (name.includes("v_proj") || name.includes(".w1.")) values.fill(0, 0, shape[1]);
  }
}

function configOf(shape: TinyShape): Record<string, unknown> {
  return {
    architectures: ["ArcticForCausalLM"],
    model_type: "arctic",
    hidden_act: "silu",
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    num_local_experts: shape.experts,
    num_experts_per_tok: shape.topK,
    vocab_size: shape.vocabulary,
    max_position_embeddings: 512,
    moe_layer_frequency: shape.moeEvery,
    parallel_attn_mlp_res: shape.parallel,
    use_residual: shape.parallel,
    rms_norm_eps: EPS,
    rope_theta: THETA,
    tie_word_embeddings: shape.tied,
    sliding_window: null,
    bos_token_id: shape.vocabulary - 2,
    eos_token_id: shape.vocabulary - 1,
    torch_dtype: "bfloat16",
  };
}

/** The nearest bf16, as a number. */
export function toBf16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  const b = bits[0] as number;
  bits[0] = (b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0] as number;
}

/** Writes config.json and model.safetensors (bf16) into `dir`. */
export function writeCheckpoint(model: TinyModel, dir: string): void {
  mkdirSync(dir, { recursive: true });
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, { shape, values }] of model.tensors) {
    header[name] = {
      dtype: "BF16",
      shape,
      data_offsets: [offset, offset + values.length * 2],
    };
    offset += values.length * 2;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + padded + offset).fill(0x20, 8, 8 + padded);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
  file.set(text, 8);
  let at = 8 + padded;
  for (const { values } of model.tensors.values()) {
    const halves = new Uint16Array(values.length);
    const bits = new Uint32Array(Float32Array.from(values).buffer);
    for (let i = 0; i < halves.length; i++) halves[i] = (bits[i] as number) >>> 16;
    file.set(new Uint8Array(halves.buffer), at);
    at += halves.byteLength;
  }
  writeFileSync(join(dir, "config.json"), JSON.stringify(model.config, null, 2));
  writeFileSync(join(dir, "model.safetensors"), file);
}

/** `n` token ids from the whole vocabulary but the last two, the first of them BOS. */
export function tinyTokens(model: TinyModel, n: number): number[] {
  const random = randomSource(model.shape.seed + 1000);
  const { vocabulary } = model.shape;
  return [vocabulary - 2, ...Array.from({ length: n - 1 }, () => random.below(vocabulary - 2))];
}
