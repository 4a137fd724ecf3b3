/**
 * A backend without a device: after token t it finds token (t + 1) mod vocabulary likeliest. It keeps
 * the batches it was given, and fails where it is told to.
 */

import type {
  Activations,
  Backend,
  Batch,
  Routing,
  WeightSource,
} from "../../src/model/backend.ts";
import type { ModelConfig } from "../../weights-manifest/config.ts";
import type { StoredTensor } from "../../weights-manifest/schema.ts";

export const VOCABULARY = 64;

export const config: ModelConfig = {
  family: "arctic",
  hiddenSize: 8,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  intermediateSize: 8,
  experts: 4,
  expertsPerToken: 2,
  vocabulary: VOCABULARY,
  contextTokens: 128,
  ropeTheta: 10_000,
  normEps: 1e-5,
  tiedEmbeddings: false,
  bosToken: 62,
  eosToken: 63,
  layerKinds: ["parallel-moe", "dense"],
};

/** A source whose weights nobody reads. */
export const emptySource: WeightSource = {
  config,
  tensor: (name) => ({ name, rows: 1, cols: 1 }) as unknown as StoredTensor,
  expert: () => {
    throw new Error("the fake backend reads no expert");
  },
  withBytes: () => {
    throw new Error("the fake backend reads no bytes");
  },
  mapped: () => {
    throw new Error("the fake backend maps nothing");
  },
};

export class FakeBackend implements Backend {
  readonly kind = "cpu";
  readonly device = "none";
  readonly batches: Batch[] = [];
  closed = false;
  /** Called before each forward pass; may throw or wait. */
  onForward: (batch: Batch) => void | Promise<void> = () => {};
  /** Changes the logits of one row. */
  onLogits: (row: Float32Array) => void = () => {};

  activations = (width: number): Activations => ({ width });
  table = () => Promise.resolve({ rows: VOCABULARY, cols: 8 });
  matrix = () => Promise.resolve({ rows: 8, cols: 8 });
  weights = () => Promise.resolve({ rows: 1, cols: 8 });
  experts = (layer: number) => Promise.resolve({ layer, count: 4 });
  kv = (layer: number) => ({ layer });
  memory = () => ({ weightBytes: 0, kvBytes: 0 });
  measureReadBandwidth = () => Promise.resolve(1e9);
  close = () => void (this.closed = true);

  begin(batch: Batch): void {
    this.batches.push(batch);
  }
  embed(): void {}
  rmsNorm(): void {}
  linear(): void {}
  gateUp(): void {}
  rope(): void {}
  kvWrite(): void {}
  attention(): void {}
  route(): Promise<Routing> {
    const none = { experts: new Uint32Array(), weights: new Float32Array() };
    return Promise.resolve({ expertsPerToken: 2, ...none });
  }
  expertMlp = () => Promise.resolve();

  async logits(): Promise<Float32Array> {
    const batch = this.batches.at(-1) as Batch;
    await this.onForward(batch);
    const out = new Float32Array(batch.logitRows.length * VOCABULARY);
    for (const [i, row] of batch.logitRows.entries()) {
      const logits = out.subarray(i * VOCABULARY, (i + 1) * VOCABULARY);
      logits[((batch.tokens[row] as number) + 1) % VOCABULARY] = 10;
      this.onLogits(logits);
    }
    return out;
  }
}
