/**
 * A model's shape, as every part of arctic sees it: parsed once from config.json, then trusted.
 */

/** Families the format has room for. Only "arctic" can be converted and run today. */
export type Family = "arctic";

/** What happens beside or after attention in one layer. */
export type LayerKind =
  /** MoE reads the layer input, a residual MLP reads the stream after attention (real Arctic). */
  | "parallel-moe"
  /** MoE reads the stream after attention; no residual MLP (Mixtral's layer). */
  | "serial-moe"
  /** A dense MLP of width intermediateSize reads the stream after attention. */
  | "dense";

export interface ModelConfig {
  readonly family: Family;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of one expert, and of a dense layer's MLP. The residual MLP has width hiddenSize. */
  readonly intermediateSize: number;
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly vocabulary: number;
  /** Tokens the model was trained to attend over. */
  readonly contextTokens: number;
  readonly ropeTheta: number;
  readonly normEps: number;
  readonly tiedEmbeddings: boolean;
  readonly bosToken: number;
  readonly eosToken: number;
  /** One entry a layer. */
  readonly layerKinds: readonly LayerKind[];
}
