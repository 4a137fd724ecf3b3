import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Packr } from "msgpackr/pack";
import { layoutOf, storedForm } from "../../weights-manifest/layout.ts";
import { decodeManifest, encodeManifest, readManifest } from "../../weights-manifest/manifest.ts";
import {
  FORMAT,
  FORMAT_VERSION,
  type Manifest,
  MANIFEST_FILE,
} from "../../weights-manifest/schema.ts";
import { parseConfig } from "../../weights-manifest/validate-config.ts";
import { type ConfigJson, refusal, removeTemporary, temporary, tinyConfig } from "./support.ts";

afterAll(removeTemporary);

const hash = "0123456789abcdef".repeat(4);
const packr = new Packr({ useRecords: false });

function manifestOf(changes: ConfigJson = {}): Manifest {
  const sourceConfig = { ...tinyConfig, ...changes };
  const config = parseConfig(sourceConfig);
  const { shards, tensors } = layoutOf(config, 8192);
  return {
    format: FORMAT,
    version: FORMAT_VERSION,
    config,
    sourceConfig,
    files: [{ name: "tokenizer.model", bytes: 20, sha256: hash }],
    shards,
    tensors: tensors.map((tensor) => storedForm(tensor, hash)),
  };
}

/** Bytes of a manifest after a change, with a checksum that fits: what an attacker would write. */
function forged(change: (manifest: Record<string, unknown>) => void): Uint8Array {
  const manifest = JSON.parse(JSON.stringify(manifestOf()));
  change(manifest);
  const checksum = new Bun.CryptoHasher("sha256").update(JSON.stringify(manifest)).digest("hex");
  return packr.pack({ ...manifest, checksum });
}

/** Sets what lies at a path such as "tensors.0.data.offset". */
function put(path: string, value: unknown): Uint8Array {
  return forged((manifest) => {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    let at: Record<string, unknown> = manifest;
    for (const key of keys) at = at[key] as Record<string, unknown>;
    expect(last === "extra" || last in at).toBe(true);
    if (value === undefined) delete at[last];
    else at[last] = value;
  });
}

test("round trip, and the same bytes each time", () => {
  const manifest = manifestOf({ moe_layer_frequency: 2 });
  const bytes = encodeManifest(manifest);
  expect(decodeManifest(bytes, "x")).toEqual(manifest);
  expect(Buffer.compare(encodeManifest(manifest), bytes)).toBe(0);
});

test("a null checksum, as sparse models have", () => {
  const manifest = manifestOf();
  const sparse = { ...manifest, tensors: manifest.tensors.map((t) => ({ ...t, sha256: null })) };
  expect(decodeManifest(encodeManifest(sparse), "x").tensors[0]?.sha256).toBeNull();
});

describe("a manifest that lies", () => {
  test("the untouched forgery passes, so the cases below fail for their own reason", () => {
    expect(decodeManifest(forged(() => {}), "x")).toEqual(manifestOf());
  });

  // The embedding is tensor 0; tensor 2 is layer 0's qkv, e4m3.
  const { tensors } = manifestOf();
  const expert = tensors.findIndex((tensor) => tensor.name.includes(".experts."));
  const cases: [string, unknown, string][] = [
    ["format", "gguf", "weights_manifest_invalid"],
    ["version", 2, "weights_manifest_version"],
    ["version", "1", "weights_manifest_version"],
    ["extra", 1, "weights_manifest_invalid"],
    ["files", undefined, "weights_manifest_invalid"],
    ["tensors", {}, "weights_manifest_invalid"],
    ["tensors", [], "weights_missing_tensors"],
    ["config.ropeTheta", 1, "weights_manifest_invalid"],
    ["config.normEps", 1, "weights_manifest_invalid"],
    ["config.layerKinds", ["dense", "dense"], "weights_manifest_invalid"],
    ["config.experts", 2 ** 40, "weights_manifest_invalid"],
    ["sourceConfig.model_type", "llama", "config_family_unsupported"],
    ["sourceConfig.num_hidden_layers", 1e9, "config_out_of_range"],
    ["sourceConfig", null, "config_bad_value"],
    ["shards.0.name", "../../etc/passwd", "weights_path_outside"],
    ["shards.0.name", "/etc/passwd", "weights_path_outside"],
    ["shards.0.name", "a/b", "weights_path_outside"],
    ["shards.0.name", "a\\b", "weights_path_outside"],
    ["shards.0.name", "a\0b", "weights_path_outside"],
    ["shards.0.name", "..", "weights_path_outside"],
    ["shards.0.name", "", "weights_path_outside"],
    ["shards.0.name", MANIFEST_FILE, "weights_path_outside"],
    ["shards.0.name", "experts-00001.bin", "weights_manifest_invalid"],
    ["shards.0.bytes", -1, "weights_manifest_invalid"],
    ["shards.0.bytes", 2 ** 53, "weights_manifest_invalid"],
    ["shards.0.bytes", 4097, "weights_bad_range"],
    ["shards.0.bytes", 0, "weights_bad_range"],
    ["files.0.name", "../x", "weights_path_outside"],
    ["files.0.sha256", hash.slice(1), "weights_bad_hash"],
    ["files.0.sha256", undefined, "weights_manifest_invalid"],
    ["files.0.bytes", 2 ** 40, "weights_manifest_invalid"],
    ["tensors.0.sha256", hash.toUpperCase(), "weights_bad_hash"],
    ["tensors.0.sha256", "", "weights_bad_hash"],
    ["tensors.0.sha256", 7, "weights_bad_hash"],
    ["tensors.0.name", "head", "weights_manifest_invalid"],
    ["tensors.0.dtype", "f32", "weights_manifest_invalid"],
    ["tensors.0.rows", 41, "weights_manifest_invalid"],
    ["tensors.0.stride", 0, "weights_manifest_invalid"],
    ["tensors.0.sources", [], "weights_manifest_invalid"],
    ["tensors.0.shard", 99, "weights_bad_range"],
    ["tensors.0.shard", -1, "weights_manifest_invalid"],
    ["tensors.0.data.offset", 2 ** 45, "weights_bad_range"],
    ["tensors.0.data.offset", 1, "weights_bad_range"],
    ["tensors.0.data.offset", 0.5, "weights_manifest_invalid"],
    ["tensors.0.data.offset", 1e300, "weights_manifest_invalid"],
    ["tensors.0.data.offset", tensors[2]?.data.offset, "weights_bad_range"],
    ["tensors.0.data.bytes", 1, "weights_bad_range"],
    ["tensors.0.data.bytes", 2 ** 50 + 2, "weights_manifest_invalid"],
    ["tensors.0.data", null, "weights_manifest_invalid"],
    ["tensors.0.scales", { offset: 0, bytes: 160 }, "weights_bad_scale_layout"],
    ["tensors.2.scales", null, "weights_bad_scale_layout"],
    ["tensors.2.scales.bytes", 4, "weights_bad_scale_layout"],
    [`tensors.${expert}.data.offset`, 256, "weights_bad_range"],
    [`tensors.${expert + 1}.data.offset`, 256 * 6, "weights_bad_range"],
    [`tensors.${expert + 1}.shard`, 0, "weights_bad_range"],
  ];
  for (const [path, value, code] of cases) {
    test(`${path} = ${JSON.stringify(value)}`, async () => {
      await refusal(code, () => decodeManifest(put(path, value), "x"));
    });
  }

  test("scales for fewer rows: both numbers are named", async () => {
    const run = () => decodeManifest(put("tensors.2.scales.bytes", 4), "x");
    expect(await refusal("weights_bad_scale_layout", run)).toMatch(/1 scales for 48 rows/);
  });
});

describe("damaged bytes", () => {
  const good = encodeManifest(manifestOf());

  test("any flipped bit is noticed", () => {
    for (let i = 0; i < good.length; i += 7) {
      const bytes = good.slice();
      bytes[i] = (bytes[i] ?? 0) ^ (1 << (i % 8));
      expect(() => decodeManifest(bytes, "x")).toThrow();
    }
  });

  test("any cut is noticed", async () => {
    for (let n = 0; n < good.length; n += 97) {
      await refusal("weights_manifest_invalid", () => decodeManifest(good.subarray(0, n), "x"));
    }
  });

  const documents: [string, number[]][] = [
    ["empty", []],
    ["a list of 4 billion", [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ["a map of 4 billion", [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ["a text of 4 GB", [0xdb, 0xff, 0xff, 0xff, 0xff]],
    ["an extension", [0xd4, 0x72, 0x40]],
    ["a large extension", [0xc9, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ["raw bytes", [0xc4, 0x01, 0x00]],
    ["the unused type", [0xc1]],
    ["a key that is no text", [0x81, 0x01, 0x01]],
    ["nesting", Array(1000).fill(0x91)],
    ["a rest", [0xc0, 0xc0]],
    ["nothing", [0xc0]],
  ];
  for (const [what, bytes] of documents) {
    test(what, async () => {
      await refusal("weights_manifest_invalid", () => decodeManifest(Uint8Array.from(bytes), "x"));
    });
  }

  test("an unchanged manifest without its checksum, or with another", async () => {
    const plain = packr.pack({ ...manifestOf() });
    await refusal("weights_manifest_damaged", () => decodeManifest(plain, "x"));
    const other = packr.pack({ ...manifestOf(), checksum: hash });
    await refusal("weights_manifest_damaged", () => decodeManifest(other, "x"));
  });
});

test("a folder without a manifest: what it may be is said", async () => {
  const folder = temporary();
  expect(await refusal("weights_not_a_model", () => readManifest(join(folder, "x")))).toMatch(
    /not exist/,
  );
  expect(await refusal("weights_not_a_model", () => readManifest(folder))).toMatch(/interrupted/);
  writeFileSync(join(folder, "config.json"), "{}");
  expect(await refusal("weights_not_a_model", () => readManifest(folder))).toMatch(
    /arctic convert/,
  );
});

test("nothing in the format depends on the program that writes it", () => {
  const bytes = encodeManifest(manifestOf());
  const plain = new Packr({ useRecords: false }).unpack(bytes);
  expect(plain.format).toBe("arctic-manifest");
  expect(plain.tensors[0].name).toBe("embedding");
  const path = join(temporary(), "m");
  writeFileSync(path, bytes);
  expect(readFileSync(path).length).toBe(bytes.length);
});
