/** Runs the program as a user does: a process with arguments, an environment, and streams. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export const command = [process.execPath, main];

export interface Setting {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly cwd?: string;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Nothing of the caller's environment but what programs need to be found. */
export function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", XDG_RUNTIME_DIR: tmpdir(), ...extra };
}

export async function arctic(args: readonly string[], setting: Setting = {}): Promise<Result> {
  const child = Bun.spawn([...command, ...args], {
    env: environment(setting.env),
    stdin: setting.stdin === undefined ? "ignore" : new TextEncoder().encode(setting.stdin),
    stdout: "pipe",
    stderr: "pipe",
    ...(setting.cwd === undefined ? {} : { cwd: setting.cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** The same through `sh`, for what only a shell can do: `"$@"` is the program with its arguments. */
export async function shell(
  script: string,
  args: readonly string[],
  setting: Setting = {},
): Promise<Result> {
  const child = Bun.spawn(["sh", "-c", script, "sh", ...command, ...args], {
    env: environment(setting.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** A new folder, and how to remove it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "arctic-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** config.json of a model small enough to make and run in a moment. */
export const tinyConfig = {
  architectures: ["ArcticForCausalLM"],
  model_type: "arctic",
  hidden_act: "silu",
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  vocab_size: 256,
  max_position_embeddings: 32_768,
  moe_layer_frequency: 1,
  parallel_attn_mlp_res: true,
  use_residual: true,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: false,
  sliding_window: null,
  bos_token_id: 254,
  eos_token_id: 255,
};
