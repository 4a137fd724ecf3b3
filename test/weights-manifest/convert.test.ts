import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCheckpoint } from "../../weights-manifest/checkpoint.ts";
import { convert, type ConvertOptions, type Progress } from "../../weights-manifest/convert.ts";
import { type Model, openModel } from "../../weights-manifest/reader.ts";
import type { StoredTensor } from "../../weights-manifest/schema.ts";
import type { SourceTensor } from "../../weights-manifest/safetensors.ts";
import { bitsFloat, e4m3Value, floatBits } from "./numbers.ts";
import {
  type ConfigJson,
  type Dtype,
  folderBytes,
  refusal,
  removeTemporary,
  sharedCase,
  temporary,
  testShared,
  tinyCheckpoint,
  tinyConfig,
  tinyTensors,
  writeCheckpoint,
} from "./support.ts";

afterAll(removeTemporary);

async function converted(source: string, options: ConvertOptions = {}): Promise<string> {
  const output = join(temporary(), "model");
  await convert(source, output, options);
  return output;
}

/** f32 bits of a source tensor, read from its file by hand. */
function sourceBits(tensor: SourceTensor): Uint32Array {
  const bytes = readFileSync(tensor.file).subarray(tensor.offset, tensor.offset + tensor.bytes);
  const { buffer } = new Uint8Array(bytes);
  if (tensor.dtype === "F32") return new Uint32Array(buffer);
  if (tensor.dtype === "F16") return Uint32Array.from(new Float16Array(buffer), floatBits);
  return Uint32Array.from(new Uint16Array(buffer), (word) => word << 16 >>> 0);
}

/** f32 bits of a stored tensor's values, without its padding. */
function storedBits(model: Model, tensor: StoredTensor): Uint32Array {
  const { data, rows, cols, stride, dtype } = tensor;
  const bytes = model.mapped(tensor.shard, data.offset, data.bytes).slice();
  if (dtype === "f32") return new Uint32Array(bytes.buffer);
  if (dtype === "bf16") {
    return Uint32Array.from(new Uint16Array(bytes.buffer), (word) => word << 16 >>> 0);
  }
  const scales = model.readScales(tensor);
  const out = new Uint32Array(rows * cols);
  let padding = 0;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < stride; c++) {
      const code = bytes[r * stride + c] ?? 0x7f;
      if (c >= cols) padding |= code;
      else out[r * cols + c] = floatBits(e4m3Value(code) * (scales[r] ?? NaN));
    }
  }
  expect(padding).toBe(0);
  return out;
}

/** Every stored tensor must be its sources, bit for bit. */
function expectLossless(source: string, folder: string): number {
  const { tensors } = readCheckpoint(source);
  const model = openModel(folder);
  for (const stored of model.manifest.tensors) {
    const parts = stored.sources.map((name) => tensors.get(name)).filter((t) => t !== undefined);
    const expected = Uint32Array.from(parts.flatMap((part) => [...sourceBits(part)]));
    const actual = storedBits(model, stored);
    expect(actual.length).toBe(expected.length);
    const bad = actual.findIndex((bits, i) => bits !== expected[i]);
    if (bad >= 0) {
      throw new Error(
        `${stored.name}[${bad}]: ${bitsFloat(actual[bad] ?? 0)}, not ${
          bitsFloat(expected[bad] ?? 0)
        }`,
      );
    }
  }
  model.close();
  return model.manifest.tensors.length;
}

describe("weights on the FP8 grid come back bit for bit", () => {
  for (const name of ["a", "b", "c", "d", "s"]) {
    testShared(`arctic-${name}`, async () => {
      const source = sharedCase(`arctic-${name}`);
      expect(expectLossless(source, await converted(source))).toBeGreaterThan(10);
    });
  }

  const shapes: [string, ConfigJson, { files?: number; dtype?: Dtype }][] = [
    ["rows that need padding", {}, {}],
    ["odd widths", {
      hidden_size: 22,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      intermediate_size: 7,
    }, {}],
    ["a width of one", { intermediate_size: 1 }, {}],
    ["one token, two columns", {
      hidden_size: 2,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      vocab_size: 1,
      bos_token_id: 0,
      eos_token_id: 0,
    }, {}],
    ["dense layers", { moe_layer_frequency: 2, num_hidden_layers: 5 }, {}],
    ["serial", { parallel_attn_mlp_res: false }, { files: 3 }],
    ["tied", { tie_word_embeddings: true }, {}],
    ["f32 sources", {}, { dtype: "F32" }],
    ["f16 sources", {}, { dtype: "F16" }],
    ["odd widths in f32", {
      hidden_size: 22,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      intermediate_size: 7,
    }, { dtype: "F32" }],
    ["odd widths in f16", {
      hidden_size: 22,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      intermediate_size: 7,
    }, { dtype: "F16" }],
  ];
  for (const [what, changes, options] of shapes) {
    test(what, async () => {
      const source = tinyCheckpoint(changes, options);
      expectLossless(source, await converted(source));
    });
  }
});

describe("rounding", () => {
  testShared(
    "a bf16 model: every weight is within half a step of FP8, none saturates",
    async () => {
      const source = sharedCase("arctic-a-bf16");
      const folder = await converted(source);
      const { tensors } = readCheckpoint(source);
      let rounded = 0;
      const model = openModel(folder);
      for (const stored of model.manifest.tensors) {
        if (stored.dtype !== "e4m3") continue;
        const parts = stored.sources.map((name) => tensors.get(name)).filter((t) =>
          t !== undefined
        );
        const expected = parts.flatMap((part) => [...sourceBits(part)].map(bitsFloat));
        const actual = [...storedBits(model, stored)].map(bitsFloat);
        const scales = model.readScales(stored);
        for (let row = 0; row < stored.rows; row++) {
          const at = row * stored.cols;
          const top = Math.max(...expected.slice(at, at + stored.cols).map(Math.abs));
          const scale = scales[row] ?? NaN;
          expect(top <= 448 * scale && top > 448 * scale / 4).toBe(true);
          for (let i = at; i < at + stored.cols; i++) {
            const x = Math.abs(expected[i] ?? 0);
            // A step is 1/8 of the scaled value's binade, and never below E4M3's subnormals.
            const step = scale * 2 ** Math.max(Math.floor(Math.log2(x / scale)) - 3, -9);
            const error = Math.abs((actual[i] ?? NaN) - (expected[i] ?? NaN));
            if (!(error <= step / 2)) {
              throw new Error(
                `${stored.name}[${i}]: ${x} is off by ${error}`,
              );
            }
            if (error > 0) rounded++;
          }
        }
      }
      model.close();
      expect(rounded).toBeGreaterThan(100_000);
    },
  );

  test("f32 embeddings round to the nearest bf16, ties to even", async () => {
    const tensors = tinyTensors(tinyConfig, { dtype: "F32" }).map((tensor) => {
      if (tensor.name !== "model.embed_tokens.weight") return tensor;
      const bits = new Uint32Array(tensor.bytes.length / 4).fill(0x3f808000);
      bits[1] = 0x3f818000;
      bits[2] = 0x3f808001;
      return { ...tensor, bytes: new Uint8Array(bits.buffer) };
    });
    const folder = await converted(writeCheckpoint(temporary(), tinyConfig, tensors));
    const model = openModel(folder);
    const [even, up, over] = storedBits(model, model.tensor("embedding"));
    model.close();
    expect([even, up, over]).toEqual([0x3f800000, 0x3f820000, 0x3f810000]);
  });

  test("a row of zeros has scale 1", async () => {
    const tensors = tinyTensors(tinyConfig).map((tensor) =>
      tensor.name === "lm_head.weight"
        ? { ...tensor, bytes: new Uint8Array(tensor.bytes.length) }
        : tensor
    );
    const model = openModel(await converted(writeCheckpoint(temporary(), tinyConfig, tensors)));
    expect(new Set(model.readScales(model.tensor("head")))).toEqual(new Set([1]));
    model.close();
  });
});

describe("values that are no numbers", () => {
  const patterns: [Dtype, number][] = [
    ["BF16", 0x7fc0],
    ["BF16", 0xff80],
    ["F16", 0x7c00],
    ["F32", 0x7f800001],
  ];
  const names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"];
  for (const [dtype, bits] of patterns) {
    test(`${dtype} 0x${bits.toString(16)}: tensor and element are named`, async () => {
      for (const name of names) {
        const tensors = tinyTensors(tinyConfig, { dtype }).map((tensor) => {
          if (tensor.name !== name) return tensor;
          const words = dtype === "F32"
            ? new Uint32Array(tensor.bytes.slice().buffer)
            : new Uint16Array(tensor.bytes.slice().buffer);
          words[17] = bits;
          return { ...tensor, bytes: new Uint8Array(words.buffer) };
        });
        const source = writeCheckpoint(temporary(), tinyConfig, tensors);
        const message = await refusal("weights_not_finite", () => converted(source));
        expect(message).toContain(name);
        expect(message).toContain("element 17");
      }
    });
  }

  test("an f32 embedding beyond bf16", async () => {
    const tensors = tinyTensors(tinyConfig, { dtype: "F32" }).map((tensor) => {
      if (tensor.name !== "model.embed_tokens.weight") return tensor;
      const bits = new Uint32Array(tensor.bytes.slice().buffer);
      bits[5] = 0x7f7fffff;
      return { ...tensor, bytes: new Uint8Array(bits.buffer) };
    });
    const source = writeCheckpoint(temporary(), tinyConfig, tensors);
    expect(await refusal("weights_not_finite", () => converted(source))).toContain("element 5");
  });
});

describe("the result", () => {
  test("is the same on threads and without, in one source file or several", async () => {
    const first = folderBytes(await converted(tinyCheckpoint(), { workers: 0 }));
    expect(folderBytes(await converted(tinyCheckpoint(), { workers: 2 }))).toEqual(first);
    const split = tinyCheckpoint({}, { files: 4 });
    expect(folderBytes(await converted(split, { workers: 3 }))).toEqual(first);
    expect([...first.keys()])
      .toEqual(["dense-00001.bin", "experts-00001.bin", "manifest.msgpack", "tokenizer.model"]);
  });

  test("is the same from more source files than are kept open", async () => {
    const one = tinyCheckpoint({}, { files: 1 });
    const many = tinyCheckpoint({}, { files: 20 });
    for (const shardBytes of [2_048, 2 ** 20]) {
      const expected = folderBytes(await converted(one, { shardBytes, workers: 0 }));
      expect(folderBytes(await converted(many, { shardBytes, workers: 0 }))).toEqual(expected);
    }
  });

  test("has as many shards as its size calls for, and the same weights in them", async () => {
    const source = tinyCheckpoint();
    const folder = await converted(source, { shardBytes: 4096 });
    expect(openModel(folder).manifest.shards.length).toBeGreaterThan(4);
    expectLossless(source, folder);
  });

  test("keeps the small files as they were and config.json inside the manifest", async () => {
    const source = tinyCheckpoint();
    writeFileSync(join(source, "tokenizer_config.json"), "{}");
    writeFileSync(join(source, "README.md"), "not kept");
    const model = openModel(await converted(source));
    expect(model.files.map((file) => file.name)).toEqual([
      "tokenizer.model",
      "tokenizer_config.json",
    ]);
    expect(new TextDecoder().decode(model.file("tokenizer.model"))).toBe("not a real tokenizer");
    expect(model.file("README.md")).toBeUndefined();
    expect(model.manifest.sourceConfig).toEqual(tinyConfig as Record<string, unknown>);
    model.close();
  });

  test("progress rises to the total", async () => {
    const seen: Progress[] = [];
    await converted(tinyCheckpoint({ tie_word_embeddings: true }), {
      onProgress: (p) => seen.push(p),
    });
    const done = seen.map((p) => p.bytesDone);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(seen.at(-1)?.phase).toBe("finish");
    expect(seen.at(-1)?.bytesDone).toBe(seen.at(-1)?.bytesTotal ?? -1);
  });
});

describe("the output folder", () => {
  test("with a complete model is refused, unless forced", async () => {
    const folder = await converted(tinyCheckpoint());
    const other = tinyCheckpoint({}, { seed: 2 });
    const before = folderBytes(folder);
    await refusal("weights_output_exists", () => convert(other, folder));
    expect(folderBytes(folder)).toEqual(before);
    await convert(other, folder, { force: true });
    expectLossless(other, folder);
  });

  test("with foreign files is refused, even when forced", async () => {
    const folder = temporary();
    writeFileSync(join(folder, "thesis.txt"), "precious");
    for (const force of [false, true]) {
      const run = () => convert(tinyCheckpoint(), folder, { force });
      expect(await refusal("weights_output_foreign", run)).toContain("thesis.txt");
    }
    const complete = await converted(tinyCheckpoint());
    writeFileSync(join(complete, "notes.txt"), "precious");
    const over = () => convert(tinyCheckpoint(), complete, { force: true });
    await refusal("weights_output_foreign", over);
    openModel(complete).close();
    const alone = temporary();
    writeFileSync(join(alone, "tokenizer.model"), "of something else");
    await refusal("weights_output_foreign", () => convert(tinyCheckpoint(), alone));
  });

  test("cannot be a file, nor the source", async () => {
    const file = join(temporary(), "file");
    writeFileSync(file, "");
    await refusal("weights_output_unusable", () => convert(tinyCheckpoint(), file));
    const source = tinyCheckpoint();
    await refusal("weights_output_foreign", () => convert(source, source));
  });

  test("belongs to one conversion at a time", async () => {
    const folder = join(temporary(), "model");
    const source = tinyCheckpoint();
    const first = convert(source, folder);
    await refusal("weights_output_busy", () => convert(source, folder));
    await first;
    openModel(folder).close();
  });
});
