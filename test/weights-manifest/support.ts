/** Checkpoints made on the spot, and the shared ones. */

import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorCode } from "../../src/errors.ts";
import { bf16Bits, floatBits, xorshift } from "./numbers.ts";

const shared = fileURLToPath(new URL("../../../shared/", import.meta.url));
const scratch: string[] = [];

/** A folder that is gone after the tests. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "arctic-weights-"));
  scratch.push(folder);
  return folder;
}

/** For afterAll of every file that makes folders: Bun tells no program that its tests are over. */
export function removeTemporary(): void {
  for (const folder of scratch.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A shared checkpoint, where there is one. */
export function sharedCase(name: string): string {
  return join(shared, "cases", name);
}

/** A test that needs the shared folder, skipped with a word where it is not there. */
export function testShared(name: string, run: () => void | Promise<void>): void {
  const missing = !existsSync(join(shared, "cases"));
  if (missing) console.warn(`skipped, no shared folder beside the checkout: ${name}`);
  test.skipIf(missing)(name, run);
}

export type Dtype = "BF16" | "F16" | "F32";

export interface TestTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly dtype: Dtype;
}

/** A safetensors file from its parts, however wrong they are. */
export function safetensors(header: string | Uint8Array, data = new Uint8Array(0)): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const out = new Uint8Array(8 + text.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(data, 8 + text.length);
  return out;
}

/** The right file for tensors, one after another. */
export function packTensors(tensors: readonly TestTensor[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const data = new Uint8Array(at);
  at = 0;
  for (const { bytes } of tensors) {
    data.set(bytes, at);
    at += bytes.length;
  }
  return safetensors(JSON.stringify(header), data);
}

export const tinyConfig = {
  architectures: ["ArcticForCausalLM"],
  model_type: "arctic",
  auto_map: { AutoModel: "modeling_arctic.ArcticModel" },
  hidden_act: "silu",
  hidden_size: 24,
  intermediate_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 3,
  num_experts_per_tok: 2,
  vocab_size: 40,
  max_position_embeddings: 128,
  rope_theta: 10000,
  rms_norm_eps: 1e-5,
  moe_layer_frequency: 1,
  parallel_attn_mlp_res: true,
  use_residual: true,
  tie_word_embeddings: false,
  sliding_window: null,
  quantization: null,
  bos_token_id: 38,
  eos_token_id: 39,
} as const;

/** The published model's shape. */
export const arctic480 = {
  ...tinyConfig,
  ...{ hidden_size: 7168, intermediate_size: 4864, num_hidden_layers: 35, vocab_size: 32000 },
  ...{ num_attention_heads: 56, num_key_value_heads: 8, num_local_experts: 128 },
  ...{ max_position_embeddings: 4096, bos_token_id: 31998, eos_token_id: 31999 },
};

export type ConfigJson = Readonly<Record<string, unknown>>;

/** Name and shape of every tensor that transformers would save for a configuration. */
export function huggingFaceShapes(config: ConfigJson): [name: string, shape: number[]][] {
  const number = (key: string) => Number(config[key]);
  const hidden = number("hidden_size");
  const width = number("intermediate_size");
  const keys = hidden / number("num_attention_heads") * number("num_key_value_heads");
  const out: [string, number[]][] = [["model.embed_tokens.weight", [number("vocab_size"), hidden]]];
  const mlp = (prefix: string, inner: number) => {
    out.push([`${prefix}.w1.weight`, [inner, hidden]]);
    out.push([`${prefix}.w2.weight`, [hidden, inner]]);
    out.push([`${prefix}.w3.weight`, [inner, hidden]]);
  };
  for (let layer = 0; layer < number("num_hidden_layers"); layer++) {
    const prefix = `model.layers.${layer}`;
    out.push([`${prefix}.input_layernorm.weight`, [hidden]]);
    out.push([`${prefix}.post_attention_layernorm.weight`, [hidden]]);
    out.push([`${prefix}.self_attn.q_proj.weight`, [hidden, hidden]]);
    out.push([`${prefix}.self_attn.k_proj.weight`, [keys, hidden]]);
    out.push([`${prefix}.self_attn.v_proj.weight`, [keys, hidden]]);
    out.push([`${prefix}.self_attn.o_proj.weight`, [hidden, hidden]]);
    if ((layer + 1) % number("moe_layer_frequency") !== 0) {
      mlp(`${prefix}.block_sparse_moe.mlp`, width);
      continue;
    }
    const experts = number("num_local_experts");
    out.push([`${prefix}.block_sparse_moe.gate.weight`, [experts, hidden]]);
    for (let e = 0; e < experts; e++) mlp(`${prefix}.block_sparse_moe.experts.${e}`, width);
    if (config["parallel_attn_mlp_res"] === true) {
      out.push([`${prefix}.residual_layernorm.weight`, [hidden]]);
      mlp(`${prefix}.residual_mlp`, hidden);
    }
  }
  out.push(["model.norm.weight", [hidden]]);
  if (config["tie_word_embeddings"] !== true) {
    out.push(["lm_head.weight", [number("vocab_size"), hidden]]);
  }
  return out;
}

/** Random weights on the E4M3 grid, each row times a power of two of its own. */
function gridValues(count: number, cols: number, random: () => number): Float32Array {
  let exponent = 0;
  return Float32Array.from({ length: count }, (_, i) => {
    if (i % cols === 0) exponent = (random() % 40) - 20;
    const steps = (random() % 16) * (random() & 1 ? 1 : -1);
    return steps * 2 ** (exponent - (random() % 4));
  });
}

function encode(values: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === "F32") return new Uint8Array(values.buffer);
  const words = dtype === "BF16"
    ? Uint16Array.from(values, (x) => bf16Bits(floatBits(x)))
    : new Uint16Array(Float16Array.from(values).buffer);
  return new Uint8Array(words.buffer);
}

/** All tensors of a configuration with seeded values that FP8 holds exactly. */
export function tinyTensors(
  config: ConfigJson,
  options: { seed?: number; dtype?: Dtype } = {},
): TestTensor[] {
  const random = xorshift(options.seed ?? 1);
  const dtype = options.dtype ?? "BF16";
  return huggingFaceShapes(config).map(([name, shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const cols = shape.at(-1) ?? 1;
    const range = dtype === "F16" ? 0.25 : 1;
    const values = gridValues(count, cols, random).map((x) =>
      dtype === "F16" ? clampHalf(x) : x * range
    );
    return { name, shape, dtype, bytes: encode(values, dtype) };
  });
}

/** Powers of two move a value into what f16 holds exactly. */
function clampHalf(x: number): number {
  let value = x;
  while (Math.abs(value) >= 2 ** 15) value /= 2 ** 10;
  while (value !== 0 && Math.abs(value) < 2 ** -10) value *= 2 ** 10;
  return value;
}

/** Writes a checkpoint folder, in one file or several with an index. */
export function writeCheckpoint(
  folder: string,
  config: ConfigJson,
  tensors: readonly TestTensor[],
  options: { files?: number } = {},
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "tokenizer.model"), "not a real tokenizer");
  const files = options.files ?? 1;
  if (files === 1) {
    writeFileSync(join(folder, "model.safetensors"), packTensors(tensors));
    return folder;
  }
  const map: Record<string, string> = {};
  for (let i = 0; i < files; i++) {
    const part = tensors.filter((_, at) => at % files === i);
    const name = `part-${i}.safetensors`;
    writeFileSync(join(folder, name), packTensors(part));
    for (const tensor of part) map[tensor.name] = name;
  }
  const index = JSON.stringify({ metadata: {}, weight_map: map });
  writeFileSync(join(folder, "model.safetensors.index.json"), index);
  return folder;
}

/** A tiny checkpoint of a configuration in a folder of its own. */
export function tinyCheckpoint(
  changes: ConfigJson = {},
  options: { files?: number; seed?: number; dtype?: Dtype } = {},
): string {
  const config = { ...tinyConfig, ...changes };
  return writeCheckpoint(temporary(), config, tinyTensors(config, options), options);
}

/** Fails unless `run` throws an ArcticError of that code; the message. */
export async function refusal(code: string, run: () => unknown): Promise<string> {
  let thrown: unknown;
  try {
    await run();
  } catch (error) {
    thrown = error;
  }
  if (!(thrown instanceof Error)) throw new Error(`nothing was refused; ${code} was expected`);
  if (errorCode(thrown) !== code) throw thrown;
  expect(thrown.message).toMatch(/^.{20,}[.]$/s);
  return thrown.message;
}

/** Every file of a folder, by name. */
export function folderBytes(folder: string): Map<string, string> {
  return new Map(
    readdirSync(folder).sort().map((name) => [
      name,
      new Bun.CryptoHasher("sha256").update(readFileSync(join(folder, name))).digest("hex"),
    ]),
  );
}
