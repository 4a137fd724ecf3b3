import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import { parseConfig } from "../../weights-manifest/validate-config.ts";
import { refusal, sharedCase, testShared, tinyConfig } from "./support.ts";

function without(...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(tinyConfig).filter(([key]) => !keys.includes(key)));
}

describe("accepted", () => {
  test("the published model's shape", () => {
    const config = parseConfig({
      ...tinyConfig,
      ...{ hidden_size: 7168, intermediate_size: 4864, num_hidden_layers: 35, vocab_size: 32000 },
      ...{ num_attention_heads: 56, num_key_value_heads: 8, num_local_experts: 128 },
      ...{ bos_token_id: 31998, eos_token_id: 31999 },
    });
    expect(config.headDim).toBe(128);
    expect(config.layerKinds).toEqual(Array(35).fill("parallel-moe"));
  });

  test("layers: every f-th is a mixture, the others dense", () => {
    const kinds = (changes: object) => parseConfig({ ...tinyConfig, ...changes }).layerKinds;
    expect(kinds({ moe_layer_frequency: 2, num_hidden_layers: 4 }))
      .toEqual(["dense", "parallel-moe", "dense", "parallel-moe"]);
    expect(kinds({ moe_layer_frequency: 3, parallel_attn_mlp_res: false, num_hidden_layers: 4 }))
      .toEqual(["dense", "dense", "serial-moe", "dense"]);
  });

  test("rope_theta in rope_parameters, as newer files have it", () => {
    const parameters = { rope_theta: 5e5, rope_type: "default" };
    expect(parseConfig({ ...without("rope_theta"), rope_parameters: parameters }).ropeTheta).toBe(
      5e5,
    );
    expect(parseConfig({ ...tinyConfig, rope_scaling: { type: "default" } }).ropeTheta).toBe(1e4);
  });

  test("keys whose absence can do no harm", () => {
    const config = parseConfig(
      without(
        "hidden_act",
        "sliding_window",
        "tie_word_embeddings",
        "quantization",
        "use_residual",
      ),
    );
    expect(config.tiedEmbeddings).toBe(false);
  });

  test("auto_map and unknown keys are ignored", () => {
    const extra = { auto_map: { AutoModel: "evil.Code" }, transformers_version: "9", x: [1] };
    expect(parseConfig({ ...tinyConfig, ...extra })).toEqual(parseConfig(tinyConfig));
  });

  testShared("the shared Arctic cases", () => {
    for (const name of ["a", "b", "c", "d", "s", "a-bf16"]) {
      const text = readFileSync(join(sharedCase(`arctic-${name}`), "config.json"), "utf8");
      expect(parseConfig(JSON.parse(text)).family).toBe("arctic");
    }
  });
});

describe("a missing key that decides the result", () => {
  const traps: Record<string, RegExp> = {
    rope_theta: /1000000/,
    moe_layer_frequency: /class default would be 2/,
    parallel_attn_mlp_res: /false/,
    num_experts_per_tok: /class default would be 1/,
    num_local_experts: /class default would be 8/,
    num_key_value_heads: /num_attention_heads/,
    rms_norm_eps: /1e-5/,
  };
  for (const key of Object.keys(tinyConfig)) {
    if (/^(architectures|auto_map|hidden_act|use_residual|tie_|sliding|quant)/.test(key)) continue;
    test(key, async () => {
      const message = await refusal("config_missing_key", () => parseConfig(without(key)));
      expect(message).toContain(`"${key}"`);
      const trap = traps[key];
      if (trap !== undefined) expect(message).toMatch(trap);
      await refusal("config_missing_key", () => parseConfig({ ...tinyConfig, [key]: null }));
    });
  }
});

describe("refused", () => {
  const cases: [string, unknown, string, RegExp?][] = [
    ["no object", [], "config_bad_value"],
    ["null", null, "config_bad_value"],
    [
      "Llama, by name",
      { model_type: "llama" },
      "config_family_unsupported",
      /Llama checkpoints come later/,
    ],
    ["Mixtral, by name", { model_type: "mixtral" }, "config_family_unsupported", /Mixtral/],
    ["a family nobody knows", { model_type: "__proto__" }, "config_family_unsupported"],
    ["another activation", { hidden_act: "gelu" }, "config_unsupported", /gelu/],
    ["a sliding window", { sliding_window: 4096 }, "config_unsupported", /4096/],
    [
      "scaled RoPE",
      { rope_scaling: { type: "linear", factor: 2 } },
      "config_unsupported",
      /linear/,
    ],
    ["scaled RoPE without a type", { rope_scaling: { factor: 2 } }, "config_unsupported"],
    [
      "yarn in rope_parameters",
      { rope_parameters: { rope_type: "yarn", rope_theta: 1e4 } },
      "config_unsupported",
      /yarn/,
    ],
    ["two values of theta", { rope_parameters: { rope_theta: 1 } }, "config_bad_value", /10000.*1/],
    ["quantised weights", { quantization: { q_bits: 8 } }, "config_quantized", /quantization/],
    ["another quantisation", { quantization_config: {} }, "config_quantized"],
    ["adapters", { ds_lora: { r: 64 } }, "config_quantized", /ds_lora/],
    ["biases", { attention_bias: true }, "config_unsupported"],
    ["an odd head", { num_attention_heads: 8, num_key_value_heads: 8 }, "config_bad_value", /even/],
    [
      "heads that do not divide",
      { num_attention_heads: 5, num_key_value_heads: 5 },
      "config_bad_value",
      /multiple/,
    ],
    ["kv heads that do not divide", { num_key_value_heads: 3 }, "config_bad_value", /multiple/],
    ["another head_dim", { head_dim: 8 }, "config_unsupported", /8.*6/],
    ["more experts a token than experts", { num_experts_per_tok: 4 }, "config_bad_value"],
    ["a token beyond the vocabulary", { eos_token_id: 40 }, "config_out_of_range", /39/],
    ["a list of tokens", { eos_token_id: [1, 2] }, "config_unsupported"],
    ["a fraction", { num_hidden_layers: 1.5 }, "config_bad_value", /1\.5/],
    ["text for a number", { hidden_size: "24" }, "config_bad_value"],
    ["a number for a flag", { parallel_attn_mlp_res: 1 }, "config_bad_value"],
    ["no layers", { num_hidden_layers: 0 }, "config_out_of_range"],
    ["a negative size", { intermediate_size: -1 }, "config_out_of_range"],
    ["a norm epsilon of 0", { rms_norm_eps: 0 }, "config_out_of_range"],
    ["a theta of NaN", { rope_theta: NaN }, "config_bad_value"],
  ];
  for (const [what, changes, code, pattern] of cases) {
    test(what, async () => {
      const plain = typeof changes === "object" && changes !== null && !Array.isArray(changes);
      const json = plain ? { ...tinyConfig, ...changes } : changes;
      const message = await refusal(code, () => parseConfig(json));
      if (pattern !== undefined) expect(message).toMatch(pattern);
    });
  }

  const bounds: [string, number][] = [
    ["hidden_size", limits.hiddenSize],
    ["intermediate_size", limits.intermediateSize],
    ["num_hidden_layers", limits.layers],
    ["num_local_experts", limits.experts],
    ["vocab_size", limits.vocabulary],
    ["max_position_embeddings", limits.contextTokens],
  ];
  for (const [key, most] of bounds) {
    test(`${key}: the limit passes, one past it does not`, async () => {
      parseConfig({ ...tinyConfig, [key]: most });
      await refusal("config_out_of_range", () => parseConfig({ ...tinyConfig, [key]: most + 1 }));
    });
  }
});
