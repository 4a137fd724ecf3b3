/**
 * Arctic in float64, written for clarity and apart from src/: what the backends are held to. Every
 * step that a mutant in mutants.ts changes is a method of its own.
 *
 * Sources: ARCTIC's own code for the layer, Xiao et al. 2023 for attention sinks.
 */

import { EPS, THETA, type TinyModel } from "./tiny-model.ts";

export type Vector = Float64Array;
export interface LayerNames {
  readonly prefix: string;
  readonly moe: boolean;
  readonly parallel: boolean;
}
interface Entry {
  readonly k: Vector;
  readonly v: Vector;
}

export function dot(a: Vector, b: Vector, aFrom = 0, bFrom = 0, n = a.length): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (a[aFrom + i] as number) * (b[bFrom + i] as number);
  return sum;
}

export const add = (...all: Vector[]): Vector =>
  (all[0] as Vector).map((_, i) => all.reduce((sum, v) => sum + (v[i] as number), 0));

export function softmax(x: Vector): Vector {
  const top = Math.max(...x);
  const e = x.map((v) => Math.exp(v - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

export const logSoftmax = (x: Vector): Vector => softmax(x).map(Math.log);

export class Reference {
  readonly model: TinyModel;
  theta = THETA;
  eps = EPS;
  /** Smallest distance between a chosen and a rejected expert's router logit met so far. */
  routerGap = Infinity;

  constructor(model: TinyModel) {
    this.model = model;
  }

  weight(name: string): Vector {
    const tensor = this.model.tensors.get(name);
    if (!tensor) throw new Error(`the tiny model has no ${name}`);
    return tensor.values;
  }

  multiply(name: string, x: Vector): Vector {
    const w = this.weight(name);
    return Float64Array.from(
      { length: w.length / x.length },
      (_, r) => dot(w, x, r * x.length, 0, x.length),
    );
  }

  norm(name: string, x: Vector): Vector {
    const w = this.weight(name);
    const rms = Math.sqrt(dot(x, x) / x.length + this.eps);
    return x.map((v, i) => v / rms * (w[i] as number));
  }

  mlp(prefix: string, x: Vector): Vector {
    const gate = this.multiply(`${prefix}w1.weight`, x);
    const up = this.multiply(`${prefix}w3.weight`, x);
    const inner = gate.map((g, i) => g / (1 + Math.exp(-g)) * (up[i] as number));
    return this.multiply(`${prefix}w2.weight`, inner);
  }

  /** [expert, weight] of the chosen experts. */
  route(prefix: string, x: Vector): [number, number][] {
    const { topK } = this.model.shape;
    const logits = this.multiply(`${prefix}gate.weight`, x);
    const p = softmax(logits);
    const order = [...p.keys()].sort((a, b) => (p[b] as number) - (p[a] as number));
    const [last, next] = [order[topK - 1] as number, order[topK] as number];
    this.routerGap = Math.min(this.routerGap, (logits[last] as number) - (logits[next] as number));
    return this.renormalise(order.slice(0, topK).map((e) => [e, p[e] as number]));
  }

  renormalise(chosen: [number, number][]): [number, number][] {
    if (chosen.length === 1) return chosen;
    const sum = chosen.reduce((a, [, w]) => a + w, 0);
    return chosen.map(([e, w]) => [e, w / sum]);
  }

  feedForward(layer: LayerNames, x: Vector): Vector {
    const prefix = `${layer.prefix}block_sparse_moe.`;
    if (!layer.moe) return this.mlp(`${prefix}mlp.`, x);
    const parts = this.route(prefix, x).map(([e, w]) =>
      this.mlp(`${prefix}experts.${e}.`, x).map((v) => v * w)
    );
    return add(...parts);
  }

  /** Head `h` of x, rotated by `slot`; dimension i is paired with i + headDim / 2. */
  rotate(x: Vector, h: number, slot: number): Vector {
    const d = this.model.shape.hidden / this.model.shape.heads;
    const out = x.slice(h * d, (h + 1) * d);
    for (let i = 0; i < d / 2; i++) {
      this.rotatePair(out, i, i + d / 2, slot, this.theta ** (-2 * i / d));
    }
    return out;
  }

  rotatePair(v: Vector, i: number, j: number, slot: number, frequency: number): void {
    const [c, s] = [Math.cos(slot * frequency), Math.sin(slot * frequency)];
    const [a, b] = [v[i] as number, v[j] as number];
    v[i] = a * c - b * s;
    v[j] = b * c + a * s;
  }

  kvHead(h: number): number {
    return Math.floor(h / (this.model.shape.heads / this.model.shape.kvHeads));
  }

  /** The last entry is the token itself. */
  attend(layer: LayerNames, y: Vector, cache: Entry[]): Vector {
    const { heads, hidden } = this.model.shape;
    const d = hidden / heads;
    const p = `${layer.prefix}self_attn.`;
    const q = this.multiply(`${p}q_proj.weight`, y);
    cache.push({
      k: this.multiply(`${p}k_proj.weight`, y),
      v: this.multiply(`${p}v_proj.weight`, y),
    });
    const out = new Float64Array(hidden);
    for (let h = 0; h < heads; h++) {
      const kv = this.kvHead(h);
      const query = this.rotate(q, h, cache.length - 1);
      const scores = Float64Array.from(
        cache,
        ({ k }, slot) => dot(query, this.rotate(k, kv, slot)) / Math.sqrt(d),
      );
      const share = softmax(scores);
      for (let i = 0; i < d; i++) {
        out[h * d + i] = cache.reduce(
          (sum, { v }, s) => sum + (share[s] as number) * (v[kv * d + i] as number),
          0,
        );
      }
    }
    return this.multiply(`${p}o_proj.weight`, out);
  }

  block(layer: LayerNames, x: Vector, cache: Entry[]): Vector {
    const p = layer.prefix;
    const h = add(x, this.attend(layer, this.norm(`${p}input_layernorm.weight`, x), cache));
    if (!layer.parallel) {
      const z = this.norm(`${p}post_attention_layernorm.weight`, h);
      return add(h, this.feedForward(layer, z));
    }
    const dense = this.mlp(`${p}residual_mlp.`, this.norm(`${p}residual_layernorm.weight`, h));
    const moe = this.feedForward(layer, this.norm(`${p}post_attention_layernorm.weight`, x));
    return add(h, dense, moe);
  }

  layers(): LayerNames[] {
    const { layers, moeEvery, parallel } = this.model.shape;
    return Array.from({ length: layers }, (_, l) => {
      const moe = (l + 1) % moeEvery === 0;
      return { prefix: `model.layers.${l}.`, moe, parallel: moe && parallel };
    });
  }

  /** Entries that stay in a cache of n after a step. */
  keep(cache: Entry[], sinks: number, window: number): Entry[] {
    if (cache.length <= sinks + window) return cache;
    return [...cache.slice(0, sinks), ...cache.slice(cache.length - window)];
  }

  /** Log-probabilities after every token, one token a step; full attention when no window is given. */
  run(tokens: readonly number[], sinks = 0, window = Infinity): Vector[] {
    const { hidden, tied } = this.model.shape;
    const embedding = this.weight("model.embed_tokens.weight");
    const layers = this.layers();
    const caches: Entry[][] = layers.map(() => []);
    return tokens.map((token) => {
      let x: Vector = embedding.slice(token * hidden, (token + 1) * hidden);
      for (const [l, layer] of layers.entries()) {
        x = this.block(layer, x, caches[l] as Entry[]);
        caches[l] = this.keep(caches[l] as Entry[], sinks, window);
      }
      const head = tied ? "model.embed_tokens.weight" : "lm_head.weight";
      return logSoftmax(this.multiply(head, this.norm("model.norm.weight", x)));
    });
  }
}

/** Largest difference of two runs' log-probabilities. */
export function largestDifference(
  a: readonly ArrayLike<number>[],
  b: readonly ArrayLike<number>[],
) {
  let worst = 0;
  for (const [t, row] of a.entries()) {
    for (let i = 0; i < row.length; i++) {
      const d = Math.abs((row[i] as number) - ((b[t] as ArrayLike<number>)[i] as number));
      worst = Math.max(worst, Number.isNaN(d) ? Infinity : d);
    }
  }
  return worst;
}
