/** A Hugging Face checkpoint folder: its configuration, its tensors, and what identifies it. */

import { closeSync, openSync, type Stats } from "node:fs";
import { join } from "node:path";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import type { ModelConfig } from "./config.ts";
import { exists, fileError, fileInside, readFully, readSmall } from "./files.ts";
import { readSafetensors, type SourceTensor } from "./safetensors.ts";
import { parseJson, quote, toPlain } from "./strict-json.ts";
import { parseConfig } from "./validate-config.ts";

const CONFIG = "config.json";
const INDEX = "model.safetensors.index.json";
const SINGLE = "model.safetensors";

/** Small files that go with the weights, with the most bytes each may have. */
export const keptFiles: Readonly<Record<string, number>> = {
  "tokenizer.model": limits.tokenizerBytes,
  "tokenizer.json": limits.tokenizerBytes,
  "tokenizer_config.json": limits.configBytes,
  "generation_config.json": limits.configBytes,
  "special_tokens_map.json": limits.configBytes,
};

export interface Checkpoint {
  readonly config: ModelConfig;
  /** config.json as it was. */
  readonly sourceConfig: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** Files to keep beside the shards, by name. */
  readonly kept: ReadonlyMap<string, Uint8Array>;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /**
   * SHA-256 over everything but the weights themselves: the small files, and path, size, time of
   * change and header of every weights file.
   */
  readonly identity: string;
}

/**
 * Reads everything about a checkpoint but its weights.
 * @throws ArcticError `weights_*`, `config_*`
 */
export function readCheckpoint(folder: string): Checkpoint {
  if (!exists(join(folder, CONFIG))) {
    throw new ArcticError(
      "weights_not_a_checkpoint",
      `${folder} is no checkpoint folder: it has no ${CONFIG}. Give the folder that a Hugging Face ` +
        "model was downloaded to.",
    );
  }
  const identity = new Bun.CryptoHasher("sha256");
  const configBytes = readSmall(folder, CONFIG, limits.configBytes);
  identity.update(configBytes);
  const sourceConfig = parseConfigFile(join(folder, CONFIG), configBytes);
  const config = parseConfig(sourceConfig);

  const index = readIndex(folder);
  const names = index === undefined ? [SINGLE] : [...new Set(index.values())].sort();
  // All names are judged before any of the files is opened.
  const files = names.map((name) => ({ name, ...fileInside(folder, name) }));
  const tensors = new Map<string, SourceTensor>();
  for (const file of files) readFile(file, index, tensors, identity);
  for (const [name, file] of index ?? []) {
    if (!tensors.has(name)) {
      throw new ArcticError(
        "weights_index_mismatch",
        `${INDEX} places ${quote(name)} in ${quote(file)}, but that file does not have it.`,
      );
    }
  }
  const kept = new Map<string, Uint8Array>();
  for (const [name, most] of Object.entries(keptFiles)) {
    if (!exists(join(folder, name))) continue;
    const bytes = readSmall(folder, name, most);
    kept.set(name, bytes);
    identity.update(`${name} ${bytes.length}\n`).update(bytes);
  }
  const bytes = tensors.values().reduce((sum, tensor) => sum + tensor.bytes, 0);
  return { config, sourceConfig, tensors, kept, bytes, identity: identity.digest("hex") };
}

/** config.json as plain values, read strictly. @throws ArcticError `config_invalid_json` */
export function parseConfigFile(path: string, bytes: Uint8Array): Record<string, unknown> {
  const json = parseJson(bytes, { what: path, code: "config_invalid_json" });
  if (!(json instanceof Map)) {
    throw new ArcticError("config_bad_value", `${path} is not a JSON object.`);
  }
  return toPlain(json) as Record<string, unknown>;
}

/** Tensor to file name, or undefined for a checkpoint of one file. */
function readIndex(folder: string): ReadonlyMap<string, string> | undefined {
  if (!exists(join(folder, INDEX))) return undefined;
  const path = join(folder, INDEX);
  const json = parseJson(readSmall(folder, INDEX, limits.indexBytes), {
    what: path,
    code: "weights_index_invalid",
  });
  const entries = json instanceof Map ? json.get("weight_map") : undefined;
  if (!(entries instanceof Map)) {
    throw new ArcticError("weights_index_invalid", `${path} has no weight_map. Fetch it again.`);
  }
  const map = new Map<string, string>();
  for (const [tensor, file] of entries) {
    if (typeof file !== "string") {
      throw new ArcticError(
        "weights_index_invalid",
        `${path} maps ${quote(tensor)} to something that is no file name.`,
      );
    }
    map.set(tensor, file);
  }
  if (new Set(map.values()).size > limits.shards) {
    throw new ArcticError(
      "weights_index_invalid",
      `${path} names more than ${limits.shards} files.`,
    );
  }
  return map;
}

function readFile(
  { name, path, stats }: { name: string; path: string; stats: Stats },
  index: ReadonlyMap<string, string> | undefined,
  into: Map<string, SourceTensor>,
  identity: Bun.CryptoHasher,
): void {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const descriptor = fd;
    identity.update(`${path}\n${stats.size} ${stats.mtimeMs}\n`);
    const found = readSafetensors(path, stats.size, (offset, length) => {
      const bytes = new Uint8Array(length);
      const got = bytes.subarray(0, readFully(descriptor, bytes, offset));
      identity.update(got);
      return got;
    });
    for (const tensor of found) {
      const home = index?.get(tensor.name) ?? (index === undefined ? name : "no file");
      if (home !== name) {
        throw new ArcticError(
          "weights_index_mismatch",
          `${path} holds ${quote(tensor.name)}, but ${INDEX} places it in ${quote(home)}.`,
        );
      }
      into.set(tensor.name, tensor);
    }
  } catch (cause) {
    throw fileError("weights_unreadable", path, "read", cause);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
