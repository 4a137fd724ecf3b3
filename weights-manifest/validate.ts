/** All trust in a manifest is decided here; what comes out is only asserted from then on. */

import { assert } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import type { ErrorCode } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import type { ModelConfig } from "./config.ts";
import { storedTensors, type TensorSpec } from "./huggingface.ts";
import { isPlainName } from "./files.ts";
import { alignUp, rowStride, tensorBytes } from "./layout.ts";
import {
  type ByteRange,
  FORMAT,
  FORMAT_VERSION,
  type KeptFile,
  type Manifest,
  MANIFEST_FILE,
  type Shard,
  type StoredTensor,
} from "./schema.ts";
import { quote } from "./strict-json.ts";
import { parseConfig } from "./validate-config.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Bytes that no shard and no model reaches; sums of two stay exact. */
const MOST_BYTES = 2 ** 50;

/** Checks one document; `what` names it in messages. */
class Check {
  constructor(private readonly what: string) {}

  refuse(code: ErrorCode, problem: string): never {
    throw new ArcticError(code, `${this.what}: ${problem} Copy or convert the model again.`);
  }

  object(value: unknown, name: string, keys: readonly string[]): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.refuse("weights_manifest_invalid", `${name} is no object.`);
    }
    for (const key of keys) {
      if (!Object.hasOwn(value, key)) {
        this.refuse("weights_manifest_invalid", `${name} has no "${key}".`);
      }
    }
    for (const key of Object.keys(value)) {
      if (!keys.includes(key)) {
        this.refuse("weights_manifest_invalid", `${name} has the unknown key ${quote(key)}.`);
      }
    }
    return value as Fields;
  }

  list(value: unknown, name: string, most: number): readonly unknown[] {
    if (!Array.isArray(value) || value.length > most) {
      this.refuse("weights_manifest_invalid", `"${name}" is no list of at most ${most} entries.`);
    }
    return value;
  }

  text(value: unknown, name: string): string {
    if (typeof value !== "string" || value.length > limits.tensorNameBytes) {
      this.refuse("weights_manifest_invalid", `${name} is no text, or a very long one.`);
    }
    return value;
  }

  whole(value: unknown, name: string, most = MOST_BYTES): number {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > most) {
      this.refuse("weights_manifest_invalid", `${name} is no whole number from 0 to ${most}.`);
    }
    return value;
  }

  /** Upper-case digits are refused, so that a hash has one spelling. */
  hash(value: unknown, name: string): string {
    if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) {
      this.refuse("weights_bad_hash", `the SHA-256 of ${name} is not 64 lower-case hex digits.`);
    }
    return value;
  }

  fileName(value: unknown, list: string): string {
    const name = this.text(value, `a name in "${list}"`);
    if (!isPlainName(name) || name === MANIFEST_FILE) {
      this.refuse(
        "weights_path_outside",
        `"${list}" names the file ${quote(name)}, which is no plain file name.`,
      );
    }
    return name;
  }

  range(value: unknown, name: string): ByteRange {
    const fields = this.object(value, name, ["offset", "bytes"]);
    return {
      offset: this.whole(fields["offset"], `the offset of ${name}`),
      bytes: this.whole(fields["bytes"], `the length of ${name}`),
    };
  }
}

/**
 * A manifest from decoded bytes.
 * @throws ArcticError `weights_manifest_invalid`, `weights_manifest_version`, `weights_path_outside`,
 *   `weights_bad_hash`, `weights_bad_scale_layout`, `weights_bad_range`, `config_*`
 */
export function validateManifest(value: unknown, what: string): Manifest {
  const check = new Check(what);
  checkFormat(check, value);
  const fields = check.object(value, "the manifest", [
    ...["format", "version", "config", "sourceConfig", "files", "shards", "tensors"],
  ]);
  const config = checkConfig(check, fields);
  const files = check.list(fields["files"], "files", 64).map((file) => keptFile(check, file));
  const shards = check.list(fields["shards"], "shards", limits.shards)
    .map((entry) => shard(check, entry));
  const names = [...files, ...shards].map((file) => file.name);
  if (new Set(names).size < names.length) {
    check.refuse("weights_manifest_invalid", "two files have the same name.");
  }
  const specs = storedTensors(config);
  const entries = check.list(fields["tensors"], "tensors", specs.length);
  if (entries.length < specs.length) {
    check.refuse(
      "weights_missing_tensors",
      `${entries.length} tensors are listed, but the configuration calls for ${specs.length}.`,
    );
  }
  // The order is part of the format: the experts' records follow each other.
  const tensors = specs.map((spec, i) => tensor(check, spec, entries[i], shards));
  checkRecords(check, specs, tensors);
  checkOverlap(check, tensors);
  const sourceConfig = fields["sourceConfig"] as Fields;
  return { format: FORMAT, version: FORMAT_VERSION, config, sourceConfig, files, shards, tensors };
}

function checkFormat(check: Check, value: unknown): void {
  const fields = typeof value === "object" && value !== null ? value as Fields : {};
  if (fields["format"] !== FORMAT) {
    check.refuse("weights_manifest_invalid", `this is no ${FORMAT} document.`);
  }
  if (fields["version"] !== FORMAT_VERSION) {
    check.refuse(
      "weights_manifest_version",
      `the format's version is ${String(fields["version"])}; this arctic reads version ` +
        `${FORMAT_VERSION}.`,
    );
  }
}

/** The configuration must be what its own config.json says. */
function checkConfig(check: Check, fields: Fields): ModelConfig {
  const config = parseConfig(fields["sourceConfig"]);
  const stated = check.object(fields["config"], "config", Object.keys(config));
  for (const [key, value] of Object.entries(config)) {
    if (JSON.stringify(stated[key]) !== JSON.stringify(value)) {
      check.refuse(
        "weights_manifest_invalid",
        `"config" and "sourceConfig" disagree on ${key}.`,
      );
    }
  }
  return config;
}

function keptFile(check: Check, value: unknown): KeptFile {
  const fields = check.object(value, "an entry of files", ["name", "bytes", "sha256"]);
  const name = check.fileName(fields["name"], "files");
  const bytes = check.whole(fields["bytes"], `the size of ${name}`, limits.tokenizerBytes);
  return { name, bytes, sha256: check.hash(fields["sha256"], name) };
}

function shard(check: Check, value: unknown): Shard {
  const fields = check.object(value, "an entry of shards", ["name", "bytes"]);
  const name = check.fileName(fields["name"], "shards");
  const bytes = check.whole(fields["bytes"], `the size of ${name}`);
  if (bytes % limits.pageBytes !== 0) {
    check.refuse("weights_bad_range", `the size of ${name} is no multiple of ${limits.pageBytes}.`);
  }
  return { name, bytes };
}

function tensor(
  check: Check,
  spec: TensorSpec,
  value: unknown,
  shards: readonly Shard[],
): StoredTensor {
  const { name, dtype, rows, cols } = spec;
  const fields = check.object(value, name, [
    ...["name", "dtype", "rows", "cols", "stride", "shard", "data", "scales", "sources", "sha256"],
  ]);
  const stride = rowStride(dtype, cols);
  const sources = spec.sources.map((source) => source.name);
  const wanted = { name, dtype, rows, cols, stride, sources };
  for (const [key, expected] of Object.entries(wanted)) {
    if (JSON.stringify(fields[key]) === JSON.stringify(expected)) continue;
    check.refuse(
      "weights_manifest_invalid",
      `${name} has ${key} ${quote(JSON.stringify(fields[key]) ?? "nothing")}, but the ` +
        `configuration calls for ${quote(JSON.stringify(expected))}.`,
    );
  }
  const need = tensorBytes(spec);
  const data = check.range(fields["data"], `the data of ${name}`);
  if (data.bytes !== need.data) {
    check.refuse(
      "weights_bad_range",
      `the data of ${name} has ${data.bytes} bytes; ${rows} rows take ${need.data}.`,
    );
  }
  const scales = fields["scales"] === null
    ? null
    : check.range(fields["scales"], `the scales of ${name}`);
  if ((scales?.bytes ?? 0) !== need.scales) {
    check.refuse(
      "weights_bad_scale_layout",
      `${name} has ${(scales?.bytes ?? 0) / 4} scales for ${need.scales / 4} rows.`,
    );
  }
  const index = check.whole(fields["shard"], `the shard of ${name}`);
  const size = shards[index]?.bytes ?? -1;
  for (const range of [data, ...(scales === null ? [] : [scales])]) {
    if (range.offset % limits.tensorAlign !== 0 || range.offset + range.bytes > size) {
      check.refuse(
        "weights_bad_range",
        `${name} lies at ${range.offset}, ${range.bytes} bytes, which is not aligned to ` +
          `${limits.tensorAlign} or not inside shard ${index}.`,
      );
    }
  }
  const sha256 = fields["sha256"] === null ? null : check.hash(fields["sha256"], name);
  return { name, dtype, rows, cols, stride, shard: index, data, scales, sources, sha256 };
}

/** Both matrices of an expert in one range, in the order that schema.ts promises. */
function checkRecords(
  check: Check,
  specs: readonly TensorSpec[],
  tensors: readonly StoredTensor[],
): void {
  const start = specs.findIndex((spec) => spec.expert !== null);
  if (start < 0) return;
  for (let i = start; i < tensors.length; i += 2) {
    const gateUp = tensors[i];
    const down = tensors[i + 1];
    assert(gateUp?.scales && down?.scales, "experts are pairs of e4m3 matrices");
    let at = gateUp.data.offset;
    const order = [gateUp.data, down.data, gateUp.scales, down.scales];
    const together = at % limits.pageBytes === 0 && down.shard === gateUp.shard &&
      order.every((range) => {
        const here = range.offset === at;
        at = alignUp(at + range.bytes, limits.tensorAlign);
        return here;
      });
    if (together) continue;
    check.refuse(
      "weights_bad_range",
      `the parts of ${gateUp.name} and ${down.name} do not lie together from a page boundary on.`,
    );
  }
}

function checkOverlap(check: Check, tensors: readonly StoredTensor[]): void {
  const ranges = tensors.flatMap(({ name, shard, data, scales }) =>
    [data, ...(scales === null ? [] : [scales])].map((range) => ({ name, shard, ...range }))
  ).sort((a, b) => a.shard - b.shard || a.offset - b.offset);
  for (let i = 1; i < ranges.length; i++) {
    const a = ranges[i - 1];
    const b = ranges[i];
    if (
      a !== undefined && b !== undefined && a.shard === b.shard && a.offset + a.bytes > b.offset
    ) {
      check.refuse("weights_bad_range", `${a.name} and ${b.name} overlap.`);
    }
  }
}
