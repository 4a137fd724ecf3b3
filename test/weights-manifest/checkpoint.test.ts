import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Checkpoint, readCheckpoint } from "../../weights-manifest/checkpoint.ts";
import { checkCheckpoint, storedTensors } from "../../weights-manifest/huggingface.ts";
import {
  type ConfigJson,
  huggingFaceShapes,
  packTensors,
  refusal,
  removeTemporary,
  sharedCase,
  temporary,
  testShared,
  type TestTensor,
  tinyCheckpoint,
  tinyConfig,
  tinyTensors,
  writeCheckpoint,
} from "./support.ts";

afterAll(removeTemporary);

function check(folder: string): Checkpoint {
  const checkpoint = readCheckpoint(folder);
  checkCheckpoint(checkpoint.config, storedTensors(checkpoint.config), checkpoint.tensors);
  return checkpoint;
}

/** A checkpoint whose tensors were changed after the fact. */
function changed(
  config: ConfigJson,
  change: (tensors: TestTensor[]) => TestTensor[],
  actual: ConfigJson = config,
): string {
  return writeCheckpoint(temporary(), config, change(tinyTensors(actual)));
}

describe("a sound checkpoint", () => {
  const variants: [string, ConfigJson][] = [
    ["parallel", {}],
    ["serial", { parallel_attn_mlp_res: false, use_residual: false }],
    ["every second layer dense", { moe_layer_frequency: 2 }],
    ["all layers dense", { moe_layer_frequency: 7 }],
    ["tied", { tie_word_embeddings: true }],
    ["one expert a token", { num_experts_per_tok: 1 }],
    ["one kv head", { num_key_value_heads: 1 }],
    ["use_residual says otherwise, but the tensors agree with the original", {
      use_residual: false,
    }],
  ];
  for (const [what, changes] of variants) {
    test(what, () => {
      const { tensors } = check(tinyCheckpoint(changes));
      expect(tensors.size).toBe(huggingFaceShapes({ ...tinyConfig, ...changes }).length);
    });
  }

  test("every source tensor is used exactly once", () => {
    const { config } = check(tinyCheckpoint({ moe_layer_frequency: 2 }));
    const used = storedTensors(config).flatMap((spec) => spec.sources.map((source) => source.name));
    const names = huggingFaceShapes({ ...tinyConfig, moe_layer_frequency: 2 }).map(([name]) =>
      name
    );
    expect(used.sort()).toEqual(names.sort());
  });

  test("in three files, with tensors of one expert in different ones", () => {
    const one = check(tinyCheckpoint());
    const three = check(tinyCheckpoint({}, { files: 3 }));
    expect([...three.tensors.keys()].sort()).toEqual([...one.tensors.keys()].sort());
  });

  testShared("the shared Arctic cases", () => {
    for (const name of ["a", "b", "c", "d", "s", "a-bf16"]) check(sharedCase(`arctic-${name}`));
  });
});

describe("config.json and the tensors disagree", () => {
  test("more layers than there are: the missing tensors are listed", async () => {
    const folder = changed({ ...tinyConfig, num_hidden_layers: 3 }, (t) => t, tinyConfig);
    const message = await refusal("weights_missing_tensors", () => check(folder));
    expect(message).toContain("model.layers.2.");
    expect(message).toMatch(/lacks 20 of/);
  });

  test("more experts than there are", async () => {
    const folder = changed({ ...tinyConfig, num_local_experts: 4 }, (t) => t, tinyConfig);
    const message = await refusal("weights_missing_tensors", () => check(folder));
    expect(message).toContain("experts.3.w1");
  });

  test("fewer layers than there are", async () => {
    const folder = changed({ ...tinyConfig, num_hidden_layers: 1 }, (t) => t, tinyConfig);
    const message = await refusal("weights_unused_tensors", () => check(folder));
    expect(message).toContain("model.layers.1.");
  });

  test("an untied head in a tied model", async () => {
    const folder = changed({ ...tinyConfig, tie_word_embeddings: true }, (t) => t, tinyConfig);
    expect(await refusal("weights_unused_tensors", () => check(folder))).toContain(
      "lm_head.weight",
    );
  });

  test("no head in an untied model", async () => {
    const tied = { ...tinyConfig, tie_word_embeddings: true };
    const folder = changed(tinyConfig, (t) => t, tied);
    expect(await refusal("weights_missing_tensors", () => check(folder))).toContain(
      "lm_head.weight",
    );
  });

  test("key/value heads of another generation: both shapes are named", async () => {
    const folder = changed({ ...tinyConfig, num_key_value_heads: 1 }, (t) => t, {
      ...tinyConfig,
      num_key_value_heads: 4,
    });
    const message = await refusal("weights_shape_mismatch", () => check(folder));
    expect(message).toContain("k_proj");
    expect(message).toContain("[24, 24]");
    expect(message).toContain("[6, 24] (1 key/value heads of 6)");
  });

  test("a norm of rank two", async () => {
    const folder = changed(
      tinyConfig,
      (tensors) =>
        tensors.map((tensor) =>
          tensor.name === "model.norm.weight" ? { ...tensor, shape: [1, 24] } : tensor
        ),
    );
    await refusal("weights_shape_mismatch", () => check(folder));
  });

  test("a residual MLP that the configuration denies, and the other way round", async () => {
    const serial = { ...tinyConfig, parallel_attn_mlp_res: false, use_residual: true };
    const denied = changed(serial, (t) => t, tinyConfig);
    const message = await refusal("weights_contradicts_config", () => check(denied));
    expect(message).toContain("parallel_attn_mlp_res false");
    expect(message).toContain("residual_mlp.w1");
    const absent = changed(tinyConfig, (t) => t, serial);
    expect(await refusal("weights_contradicts_config", () => check(absent))).toContain(
      "no residual",
    );
  });

  test("a tensor that is not Arctic's", async () => {
    const folder = changed(tinyConfig, (tensors) => [
      ...tensors,
      {
        name: "model.layers.0.self_attn.q_proj.bias",
        shape: [1],
        dtype: "BF16",
        bytes: new Uint8Array(2),
      },
    ]);
    expect(await refusal("weights_unused_tensors", () => check(folder))).toContain("q_proj.bias");
  });
});

describe("the index", () => {
  function withIndex(change: (map: Record<string, unknown>) => unknown): string {
    const folder = tinyCheckpoint({}, { files: 2 });
    const path = join(folder, "model.safetensors.index.json");
    const index = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(change(index.weight_map)));
    return folder;
  }

  const cases: [string, (map: Record<string, unknown>) => unknown, string][] = [
    ["without a weight_map", () => ({}), "weights_index_invalid"],
    ["a list", () => [], "weights_index_invalid"],
    [
      "a place that is no text",
      (map) => ({ weight_map: { ...map, x: 1 } }),
      "weights_index_invalid",
    ],
    [
      "a tensor that its file lacks",
      (map) => ({ weight_map: { ...map, x: "part-0.safetensors" } }),
      "weights_index_mismatch",
    ],
    [
      "a tensor in the wrong file",
      (map) => {
        const here = map["lm_head.weight"] === "part-0.safetensors";
        return {
          weight_map: { ...map, "lm_head.weight": `part-${here ? 1 : 0}.safetensors` },
        };
      },
      "weights_index_mismatch",
    ],
    [
      "a tensor of a file is left out",
      (map) => {
        delete map["lm_head.weight"];
        return { weight_map: map };
      },
      "weights_index_mismatch",
    ],
    [
      "a file that is not there",
      (map) => ({ weight_map: { ...map, x: "nowhere" } }),
      "weights_unreadable",
    ],
  ];
  for (const [what, change, code] of cases) {
    test(what, () => refusal(code, () => readCheckpoint(withIndex(change))).then(() => {}));
  }

  test("a key twice, which JSON.parse would hide", async () => {
    const folder = tinyCheckpoint();
    writeFileSync(join(folder, "model.safetensors.index.json"), '{"weight_map":{"a":"x","a":"y"}}');
    await refusal("weights_index_invalid", () => readCheckpoint(folder));
  });
});

describe("folders that are no checkpoint", () => {
  test("nothing there", () =>
    refusal("weights_not_a_checkpoint", () => readCheckpoint(join(temporary(), "no"))).then(
      () => {},
    ));

  test("no weights", async () => {
    const folder = temporary();
    writeFileSync(join(folder, "config.json"), JSON.stringify(tinyConfig));
    await refusal("weights_unreadable", () => readCheckpoint(folder));
  });

  test("a config.json that is no JSON, of duplicate keys, or huge", async () => {
    const folder = tinyCheckpoint();
    for (const text of ["", "{", '{"model_type":"arctic","model_type":"llama"}', "[]".repeat(9)]) {
      writeFileSync(join(folder, "config.json"), text);
      await refusal("config_invalid_json", () => readCheckpoint(folder));
    }
    writeFileSync(join(folder, "config.json"), " ".repeat(2 ** 20 + 1));
    await refusal("weights_file_too_large", () => readCheckpoint(folder));
    writeFileSync(join(folder, "config.json"), '{"__proto__":{"model_type":"arctic"}}');
    await refusal("config_bad_key", () => readCheckpoint(folder));
  });
});

test("the identity follows everything that decides the result", () => {
  const folder = tinyCheckpoint();
  const seen = new Set([readCheckpoint(folder).identity]);
  expect(seen.has(readCheckpoint(folder).identity)).toBe(true);
  const fresh = () => {
    const { identity } = readCheckpoint(folder);
    expect(seen.has(identity)).toBe(false);
    seen.add(identity);
  };
  writeFileSync(join(folder, "tokenizer.model"), "another");
  fresh();
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...tinyConfig, rope_theta: 1 }));
  fresh();
  utimesSync(join(folder, "model.safetensors"), 1, 1);
  fresh();
  writeFileSync(
    join(folder, "model.safetensors"),
    packTensors(tinyTensors(tinyConfig, { seed: 9 })),
  );
  fresh();
});
