/** Random and mutated bytes into every parser of weights: only typed errors, and quickly. */

import { describe, expect, test } from "bun:test";
import process from "node:process";
import { errorCode } from "../../src/errors.ts";
import { layoutOf, storedForm } from "../../weights-manifest/layout.ts";
import { decodeManifest, encodeManifest } from "../../weights-manifest/manifest.ts";
import { readSafetensors } from "../../weights-manifest/safetensors.ts";
import { FORMAT, FORMAT_VERSION, type Manifest } from "../../weights-manifest/schema.ts";
import { parseJson, toPlain } from "../../weights-manifest/strict-json.ts";
import { parseConfig } from "../../weights-manifest/validate-config.ts";
import { xorshift } from "../weights-manifest/numbers.ts";
import { packTensors, tinyConfig, tinyTensors } from "../weights-manifest/support.ts";

const seed = Number(process.env["ARCTIC_TEST_SEED"] ?? Date.now() % 1_000_000);
console.log(`fuzz seed: ${seed} (ARCTIC_TEST_SEED repeats it)`);

/** No single input may take longer, in milliseconds. */
const SLOWEST = 10_000;

/** Bytes worth inserting: structure of JSON and MessagePack, and large numbers. */
const SNIPPETS = [
  ...[
    '{"',
    '":',
    "[[[[",
    "]]",
    "1e999",
    "-0",
    "18446744073709551616",
    "\\u0000",
    '"__proto__":',
    "null",
  ],
  ...[
    "\xdd\xff\xff\xff\xff",
    "\xdf\xff\xff\xff\xff",
    "\xc9\xff\xff\xff\xff",
    "\xcf\xff\xff",
    "\xc1",
  ],
].map((text) => Uint8Array.from(text, (c) => c.charCodeAt(0)));

/** Cuts, flips, repeats and inserts. */
function mutate(bytes: Uint8Array, random: () => number): Uint8Array {
  let out = bytes;
  for (let n = random() % 4 + 1; n > 0; n--) {
    const at = random() % (out.length + 1);
    const kind = random() % 5;
    if (kind === 0) out = splice(out, at, 1, Uint8Array.of(random()));
    else if (kind === 1) out = out.slice(0, at);
    else if (kind === 2) out = splice(out, at, random() % 9, new Uint8Array(0));
    else if (kind === 3) out = splice(out, at, 0, SNIPPETS[random() % SNIPPETS.length] ?? out);
    else out = splice(out, at, 0, out.slice(at, at + random() % 40));
  }
  return out;
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const rest = bytes.subarray(at + remove);
  const out = new Uint8Array(at + insert.length + rest.length);
  out.set(bytes.subarray(0, at));
  out.set(insert, at);
  out.set(rest, at + insert.length);
  return out;
}

/** Runs `parse` on mutants of `good` and on noise; how many were refused. */
function fuzz(good: Uint8Array, runs: number, parse: (bytes: Uint8Array) => unknown): number {
  const random = xorshift(seed);
  let refused = 0;
  for (let i = 0; i < runs; i++) {
    const bytes = i % 4 === 0
      ? Uint8Array.from({ length: random() % 200 }, () => random())
      : mutate(good, random);
    const start = performance.now();
    try {
      parse(bytes);
    } catch (error) {
      refused++;
      if (!/^(weights|config)_/.test(errorCode(error) ?? "")) {
        console.error(
          `seed ${seed}, run ${i}: ${new TextDecoder("latin1").decode(bytes.slice(0, 500))}`,
        );
        throw error;
      }
    }
    const taken = performance.now() - start;
    if (taken > SLOWEST) throw new Error(`seed ${seed}, run ${i} took ${taken} ms`);
  }
  return refused;
}

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("fuzz", () => {
  test("strict JSON agrees with JSON.parse wherever it accepts", () => {
    const good = text({ a: [1, -2.5e3, "x\u00e9\n", null, true], b: { c: {} } });
    const refused = fuzz(good, 20_000, (bytes) => {
      const value = toPlain(parseJson(bytes, { what: "x", code: "weights_header_invalid" }));
      const expected = JSON.parse(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
      expect(value).toEqual(expected);
    });
    expect(refused).toBeGreaterThan(1000);
  });

  test("safetensors files", () => {
    const good = packTensors(tinyTensors(tinyConfig).slice(0, 3));
    const header = good.subarray(0, 400);
    const parse = (bytes: Uint8Array) =>
      readSafetensors("x", bytes.length, (at, n) => bytes.slice(at, at + n));
    expect(parse(good).length).toBe(3);
    expect(fuzz(good, 10_000, parse)).toBeGreaterThan(1000);
    expect(fuzz(header, 10_000, parse)).toBeGreaterThan(1000);
  });

  test("configurations", () => {
    const refused = fuzz(text(tinyConfig), 10_000, (bytes) => {
      const json = parseJson(bytes, { what: "x", code: "config_invalid_json" });
      return parseConfig(toPlain(json));
    });
    expect(refused).toBeGreaterThan(1000);
  });

  test("configurations of any values", () => {
    const random = xorshift(seed + 1);
    const values = [null, -1, 0, 1, 2, 1.5, 1e308, NaN, "x", [], {}, true, [[1]], {
      rope_theta: -1,
    }];
    const keys = [...Object.keys(tinyConfig), "rope_parameters", "rope_scaling", "head_dim"];
    for (let i = 0; i < 10_000; i++) {
      const config: Record<string, unknown> = { ...tinyConfig };
      for (let n = random() % 3; n >= 0; n--) {
        config[keys[random() % keys.length] ?? ""] = values[random() % values.length];
      }
      try {
        parseConfig(config);
      } catch (error) {
        expect(errorCode(error)).toMatch(/^config_/);
      }
    }
  });

  test("manifests: no mutant passes for a manifest with other content", () => {
    const config = parseConfig({ ...tinyConfig, num_hidden_layers: 1, num_local_experts: 2 });
    const sourceConfig = { ...tinyConfig, num_hidden_layers: 1, num_local_experts: 2 };
    const { shards, tensors } = layoutOf(config);
    const manifest: Manifest = {
      format: FORMAT,
      version: FORMAT_VERSION,
      config,
      sourceConfig,
      files: [],
      shards,
      tensors: tensors.map((tensor) => storedForm(tensor, "ab".repeat(32))),
    };
    const good = encodeManifest(manifest);
    fuzz(good, 10_000, (bytes) => expect(decodeManifest(bytes, "x")).toEqual(manifest));
  });
});
