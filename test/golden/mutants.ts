/**
 * Plausible mistakes, made in the reference on purpose. The golden tests are worth something only if
 * each of them moves the result by far more than a backend may be off.
 */

import { add, dot, type LayerNames, Reference, type Vector } from "./reference.ts";
import type { TinyModel, TinyShape, TinyTensor } from "./tiny-model.ts";

class MoeAfterAttention extends Reference {
  override block(layer: LayerNames, x: Vector, cache: never[]): Vector {
    const p = layer.prefix;
    const h = add(x, this.attend(layer, this.norm(`${p}input_layernorm.weight`, x), cache));
    const dense = this.mlp(`${p}residual_mlp.`, this.norm(`${p}residual_layernorm.weight`, h));
    const z = this.norm(`${p}post_attention_layernorm.weight`, h);
    return add(h, dense, this.feedForward(layer, z));
  }
}

class InputsExchanged extends Reference {
  override block(layer: LayerNames, x: Vector, cache: never[]): Vector {
    const p = layer.prefix;
    const h = add(x, this.attend(layer, this.norm(`${p}input_layernorm.weight`, x), cache));
    const dense = this.mlp(`${p}residual_mlp.`, this.norm(`${p}residual_layernorm.weight`, x));
    const z = this.norm(`${p}post_attention_layernorm.weight`, h);
    return add(h, dense, this.feedForward(layer, z));
  }
}

class MoeReadsInputNorm extends Reference {
  override norm(name: string, x: Vector): Vector {
    return super.norm(name.replace("post_attention_layernorm", "input_layernorm"), x);
  }
}

class NormsExchanged extends Reference {
  override norm(name: string, x: Vector): Vector {
    const other = name.includes("post_attention")
      ? name.replace("post_attention", "residual")
      : name.replace("residual", "post_attention");
    return super.norm(other, x);
  }
}

class NotRenormalised extends Reference {
  override renormalise(chosen: [number, number][]) {
    return chosen;
  }
}

class TopOneForced extends Reference {
  override renormalise(chosen: [number, number][]): [number, number][] {
    return chosen.map(([e, w]) => [e, chosen.length === 1 ? 1 : w]);
  }
}

class InterleavedRope extends Reference {
  override rotate(x: Vector, h: number, slot: number): Vector {
    const d = this.model.shape.hidden / this.model.shape.heads;
    const out = x.slice(h * d, (h + 1) * d);
    for (let i = 0; i < d / 2; i++) {
      this.rotatePair(out, 2 * i, 2 * i + 1, slot, this.theta ** (-2 * i / d));
    }
    return out;
  }
}

class KvHeadModulo extends Reference {
  override kvHead(h: number): number {
    return h % this.model.shape.kvHeads;
  }
}

class GateAndUpExchanged extends Reference {
  override multiply(name: string, x: Vector): Vector {
    const other = name.includes(".w1.")
      ? name.replace(".w1.", ".w3.")
      : name.replace(".w3.", ".w1.");
    return super.multiply(other, x);
  }
}

class EpsOutside extends Reference {
  override norm(name: string, x: Vector): Vector {
    const w = this.weight(name);
    const rms = Math.sqrt(dot(x, x) / x.length) + this.eps;
    return x.map((v, i) => v / rms * (w[i] as number));
  }
}

class SilentRotation extends Reference {
  override rotatePair(): void {}
}

class ShortWindow extends Reference {
  override keep(cache: never[], sinks: number, window: number) {
    return super.keep(cache, sinks, window - 1);
  }
}

class NoSinks extends Reference {
  override keep(cache: never[], sinks: number, window: number) {
    return super.keep(cache, 0, sinks + window);
  }
}

class NoEviction extends Reference {
  override keep<T>(cache: T[]): T[] {
    return cache;
  }
}

function withTheta(model: TinyModel, theta: number): Reference {
  return Object.assign(new Reference(model), { theta });
}

function withEps(model: TinyModel, eps: number): Reference {
  return Object.assign(new Reference(model), { eps });
}

/** The model with every matrix passed through `change`. */
function changed(
  model: TinyModel,
  change: (tensor: TinyTensor, name: string) => Float64Array,
): Reference {
  const tensors = new Map(
    [...model.tensors].map(([name, tensor]) =>
      [
        name,
        tensor.shape.length === 2 && !/embed|gate\.weight/.test(name)
          ? { ...tensor, values: change(tensor, name) }
          : tensor,
      ] as const
    ),
  );
  return new Reference({ ...model, tensors });
}

/** The power of two that a row is stored with: the largest magnitude is at most 448 of it. */
function rowScale(values: Float64Array, row: number, cols: number): number {
  let top = 0;
  for (let c = 0; c < cols; c++) top = Math.max(top, Math.abs(values[row * cols + c] as number));
  return top === 0 ? 1 : 2 ** Math.ceil(Math.log2(top / 448));
}

/** Every weight as (code's value, scale of its row, scale of row 0) -> weight. */
function decoded(
  model: TinyModel,
  decode: (value: number, scale: number, scale0: number) => number,
) {
  return changed(model, ({ shape, values }) => {
    const cols = shape[1] as number;
    const scale0 = rowScale(values, 0, cols);
    return values.map((v, i) => {
      const scale = rowScale(values, Math.floor(i / cols), cols);
      return decode(v / scale, scale, scale0);
    });
  });
}

function expertZeroScale(model: TinyModel): Reference {
  const top = (v: Float64Array) => v.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return changed(model, ({ values }, name) => {
    const first = model.tensors.get(name.replace(/experts\.\d+/, "experts.0")) as TinyTensor;
    const ratio = top(first.values) / top(values);
    return values.map((v) => v * ratio);
  });
}

const SMALLEST_NORMAL = 2 ** -6;

export interface Mutant {
  readonly what: string;
  /** The tiny model that shows it. */
  readonly shape: Partial<TinyShape>;
  readonly make: (model: TinyModel) => Reference;
  /** Run under attention sinks. */
  readonly sinks?: true;
}

export const mutants: Readonly<Record<string, Mutant>> = {
  "moe-after-attention": {
    what: "the MoE reads the stream after attention",
    shape: {},
    make: (m) => new MoeAfterAttention(m),
  },
  "inputs-exchanged": {
    what: "the inputs of residual MLP and MoE are exchanged",
    shape: {},
    make: (m) => new InputsExchanged(m),
  },
  "norms-exchanged": {
    what: "their two norms are exchanged",
    shape: {},
    make: (m) => new NormsExchanged(m),
  },
  "moe-ln1": {
    what: "the MoE reads input_layernorm's output",
    shape: {},
    make: (m) => new MoeReadsInputNorm(m),
  },
  "no-renorm": {
    what: "top-2 weights are not renormalised",
    shape: {},
    make: (m) => new NotRenormalised(m),
  },
  "top1-forced": {
    what: "the weight of top-1 is forced to 1",
    shape: { topK: 1, moeEvery: 2, layers: 4 },
    make: (m) => new TopOneForced(m),
  },
  "rope-interleaved": {
    what: "RoPE pairs neighbours",
    shape: {},
    make: (m) => new InterleavedRope(m),
  },
  "rope-missing": { what: "no RoPE", shape: {}, make: (m) => new SilentRotation(m) },
  "kv-modulo": { what: "kv head = h mod kvHeads", shape: {}, make: (m) => new KvHeadModulo(m) },
  "w1-w3": { what: "gate and up are exchanged", shape: {}, make: (m) => new GateAndUpExchanged(m) },
  "theta": { what: "rope_theta 1e6", shape: {}, make: (m) => withTheta(m, 1e6) },
  "eps": { what: "eps 1e-6", shape: { embed: 1 / 256 }, make: (m) => withEps(m, 1e-6) },
  "eps-outside": {
    what: "eps outside the square root",
    shape: { embed: 1 / 256 },
    make: (m) => new EpsOutside(m),
  },
  "fp8-fnuz": {
    what: "codes are read with bias 8",
    shape: {},
    make: (m) => decoded(m, (v, scale) => v / 2 * scale),
  },
  "fp8-row-scale": {
    what: "row 0's scale is used for every row",
    shape: {},
    make: (m) => decoded(m, (v, _, scale0) => v * scale0),
  },
  "fp8-expert-scale": {
    what: "expert 0's scale is used for every expert",
    shape: {},
    make: expertZeroScale,
  },
  "fp8-flush": {
    what: "subnormal codes are read as 0",
    shape: { subnormal: true },
    make: (m) => decoded(m, (v, scale) => Math.abs(v) < SMALLEST_NORMAL ? 0 : v * scale),
  },
  "fp8-subnormals": {
    what: "subnormal codes are read as normal",
    shape: { subnormal: true },
    make: (m) =>
      decoded(m, (v, scale) => {
        if (v === 0 || Math.abs(v) >= SMALLEST_NORMAL) return v * scale;
        return Math.sign(v) * (1 + Math.abs(v) * 64) * 2 ** -7 * scale;
      }),
  },
  "sinks-short": {
    what: "the window is one entry short",
    shape: {},
    make: (m) => new ShortWindow(m),
    sinks: true,
  },
  "sinks-none": {
    what: "no sink tokens are kept",
    shape: {},
    make: (m) => new NoSinks(m),
    sinks: true,
  },
  "sinks-no-eviction": {
    what: "nothing is evicted",
    shape: {},
    make: (m) => new NoEviction(m),
    sinks: true,
  },
};
