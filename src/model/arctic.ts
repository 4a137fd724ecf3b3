/**
 * Snowflake Arctic's forward pass, once, in the order of the paper.
 *
 * Arctic is a dense transformer with a residual mixture of experts beside it. In a parallel layer the
 * mixture reads the layer's *input*, through post_attention_layernorm (the name is history), so it
 * does not depend on the layer's attention: its router runs first, and the experts it chose can be
 * fetched while attention and the residual MLP are computed.
 *
 * Source: Snowflake-Labs/transformers, modeling_arctic.py (ArcticDecoderLayer.forward).
 */

import type { LayerKind } from "../../weights-manifest/config.ts";
import type {
  Activations,
  Backend,
  Batch,
  Experts,
  KvLayer,
  Matrix,
  Routing,
  Table,
  Weights,
  WeightSource,
} from "./backend.ts";
import { defined } from "../assert.ts";

/** w2(silu(w1 x) * w3 x), with w1 and w3 stacked. */
interface Mlp {
  readonly gateUp: Matrix;
  readonly down: Matrix;
}

interface Attention {
  readonly inputNorm: Weights;
  readonly qkv: Matrix;
  readonly output: Matrix;
  readonly kv: KvLayer;
}

interface Mixture {
  readonly router: Weights;
  readonly experts: Experts;
}

/** Every layer has attention and a second norm; what the norm feeds is the layer's kind. */
type Layer =
  & Attention
  & { readonly postAttentionNorm: Weights }
  & (
    | ({ readonly kind: "parallel-moe"; residualNorm: Weights; residual: Mlp } & Mixture)
    | ({ readonly kind: "serial-moe" } & Mixture)
    | { readonly kind: "dense"; readonly mlp: Mlp }
  );
type LayerOf<K extends LayerKind> = Extract<Layer, { kind: K }>;

/** Activations of one batch, reused by every layer. T is the number of rows. */
interface Workspace {
  /** [T, hidden] the residual stream */
  readonly x: Activations;
  /** [T, hidden] a normalised x */
  readonly y: Activations;
  /** [T, hidden] what the router and the experts read */
  readonly z: Activations;
  /** [T, (heads + 2 kvHeads) headDim] */
  readonly qkv: Activations;
  /** [T, heads headDim] */
  readonly attended: Activations;
  /** [T, hidden] inside the residual MLP */
  readonly residual: Activations;
  /** [T, intermediate] inside a dense layer's MLP */
  readonly inner: Activations;
}

/** Who watches forward passes. */
export interface Watcher {
  /** Sees the router's choice for every row that passes a layer's mixture of experts. */
  readonly onRouting?: ((layer: number, routing: Routing) => void) | undefined;
  /** A layer, or one of its experts, has been computed, or at least recorded. */
  readonly onProgress?: (() => void) | undefined;
}

export class ArcticModel {
  readonly #backend: Backend;
  readonly #eps: number;
  readonly #embedding: Table;
  readonly #layers: readonly Layer[];
  readonly #norm: Weights;
  readonly #head: Matrix;
  readonly #work: Workspace;
  readonly #watcher: Watcher;

  private constructor(
    backend: Backend,
    eps: number,
    weights: { embedding: Table; layers: readonly Layer[]; norm: Weights; head: Matrix },
    work: Workspace,
    watcher: Watcher,
  ) {
    this.#backend = backend;
    this.#eps = eps;
    this.#embedding = weights.embedding;
    this.#layers = weights.layers;
    this.#norm = weights.norm;
    this.#head = weights.head;
    this.#work = work;
    this.#watcher = watcher;
  }

  /**
   * Makes a model's weights available to a backend.
   * @param onProgress called after each layer with the layers done and their number
   */
  static async load(
    source: WeightSource,
    backend: Backend,
    onProgress: (done: number, total: number) => void = () => {},
    watcher: Watcher = {},
  ): Promise<ArcticModel> {
    const { config } = source;
    const layers: Layer[] = [];
    for (let l = 0; l < config.layers; l++) {
      layers.push(await loadLayer(source, backend, l));
      onProgress(l + 1, config.layers);
    }
    const weights = {
      embedding: await backend.table(source.tensor("embedding")),
      layers,
      norm: await backend.weights(source.tensor("norm")),
      head: await backend.matrix(source.tensor("head")),
    };
    const { hiddenSize, heads, kvHeads, headDim, intermediateSize, layerKinds } = config;
    const work: Workspace = {
      x: backend.activations(hiddenSize),
      y: backend.activations(hiddenSize),
      z: backend.activations(hiddenSize),
      qkv: backend.activations((heads + 2 * kvHeads) * headDim),
      attended: backend.activations(heads * headDim),
      residual: backend.activations(layerKinds.includes("parallel-moe") ? hiddenSize : 1),
      inner: backend.activations(layerKinds.includes("dense") ? intermediateSize : 1),
    };
    return new ArcticModel(backend, config.normEps, weights, work, watcher);
  }

  /**
   * Logits [logitRows, vocabulary] of the rows the batch asks for. Appends the batch's keys and
   * values to the pages of its sequences.
   */
  async forward(batch: Batch): Promise<Float32Array> {
    const backend = this.#backend;
    const { x, y } = this.#work;

    backend.begin(batch);
    backend.embed(x, this.#embedding);
    for (const layer of this.#layers) {
      if (layer.kind === "parallel-moe") await this.#parallelLayer(layer);
      else if (layer.kind === "serial-moe") await this.#serialLayer(layer);
      else this.#denseLayer(layer);
      this.#watcher.onProgress?.();
    }
    backend.rmsNorm([y], x, [this.#norm], this.#eps);
    return backend.logits(this.#head, y);
  }

  /**
   * x' = h + residual_mlp(norm(h)) + moe(norm(x)),  h = x + attention(norm(x))
   *
   * The residual stream is updated in place, so the router's input z is taken before attention.
   */
  async #parallelLayer(layer: LayerOf<"parallel-moe">): Promise<void> {
    const backend = this.#backend;
    const { x, y, z, residual } = this.#work;

    backend.rmsNorm([y, z], x, [layer.inputNorm, layer.postAttentionNorm], this.#eps);
    const routing = backend.route(z, layer.router);
    // Awaited below, once the GPU has been given the work that does not depend on it.
    routing.catch(() => {});

    this.#attention(layer);

    backend.rmsNorm([y], x, [layer.residualNorm], this.#eps);
    backend.gateUp(residual, layer.residual.gateUp, y);
    backend.linear(x, layer.residual.down, residual, true);

    await this.#experts(layer, await routing);
  }

  /** x' = h + moe(norm(h)),  h = x + attention(norm(x)): Mixtral's order. */
  async #serialLayer(layer: LayerOf<"serial-moe">): Promise<void> {
    const backend = this.#backend;
    const { x, y, z } = this.#work;

    backend.rmsNorm([y], x, [layer.inputNorm], this.#eps);
    this.#attention(layer);

    backend.rmsNorm([z], x, [layer.postAttentionNorm], this.#eps);
    await this.#experts(layer, await backend.route(z, layer.router));
  }

  /** x += sum over the chosen experts of weight * mlp(z) */
  async #experts({ experts }: Mixture, routing: Routing): Promise<void> {
    const { x, z } = this.#work;
    this.#watcher.onRouting?.(experts.layer, routing);
    await this.#backend.expertMlp(x, experts, routing, z, this.#watcher.onProgress);
  }

  /** x' = h + mlp(norm(h)),  h = x + attention(norm(x)) */
  #denseLayer(layer: LayerOf<"dense">): void {
    const backend = this.#backend;
    const { x, y, inner } = this.#work;

    backend.rmsNorm([y], x, [layer.inputNorm], this.#eps);
    this.#attention(layer);

    backend.rmsNorm([y], x, [layer.postAttentionNorm], this.#eps);
    backend.gateUp(inner, layer.mlp.gateUp, y);
    backend.linear(x, layer.mlp.down, inner, true);
  }

  /** x += o_proj(attention(q_proj y, k_proj y, v_proj y)); keys are kept before RoPE. */
  #attention(layer: Attention): void {
    const backend = this.#backend;
    const { x, y, qkv, attended } = this.#work;

    backend.linear(qkv, layer.qkv, y, false);
    backend.kvWrite(layer.kv, qkv);
    backend.rope(qkv);
    backend.attention(attended, qkv, layer.kv);
    backend.linear(x, layer.output, attended, true);
  }
}

async function loadLayer(source: WeightSource, backend: Backend, l: number): Promise<Layer> {
  const kind = defined(source.config.layerKinds[l], `the kind of layer ${l}`);
  const stored = (part: string) => source.tensor(`layers.${l}.${part}`);
  const mlp = async (part: string): Promise<Mlp> => ({
    gateUp: await backend.matrix(stored(`${part}.gate_up`)),
    down: await backend.matrix(stored(`${part}.down`)),
  });
  const mixture = async (): Promise<Mixture> => ({
    router: await backend.weights(stored("router")),
    experts: await backend.experts(l),
  });
  const shared = {
    inputNorm: await backend.weights(stored("input_norm")),
    qkv: await backend.matrix(stored("qkv")),
    output: await backend.matrix(stored("output")),
    postAttentionNorm: await backend.weights(stored("post_attention_norm")),
    kv: backend.kv(l),
  };
  switch (kind) {
    case "dense":
      return { kind, ...shared, mlp: await mlp("mlp") };
    case "serial-moe":
      return { kind, ...shared, ...await mixture() };
    case "parallel-moe": {
      const residualNorm = await backend.weights(stored("residual_norm"));
      return { kind, ...shared, ...await mixture(), residualNorm, residual: await mlp("residual") };
    }
  }
}
