import { freemem } from "node:os";
import { assert, defined } from "../../assert.ts";
import { limits } from "../../limits.ts";
import type {
  Activations,
  Backend,
  BackendOptions,
  Batch,
  Experts,
  KvLayer,
  Matrix,
  Memory,
  Routing,
  Table,
  Weights,
  WeightSource,
} from "../../model/backend.ts";
import type { StoredTensor } from "../../../weights-manifest/schema.ts";
import { Attention } from "./attention.ts";
import { type Gpu, openGpu, whole } from "./context.ts";
import type { OpenOptions } from "./device.ts";
import { embed } from "./embed.ts";
import { ExpertMlp } from "./expert-mlp.ts";
import { ExpertSlots } from "./expert-slots.ts";
import type { TokenRows } from "./fp8-product.ts";
import { gateUpMatmulFp8 } from "./gate-up-matmul-fp8.ts";
import { gateUpMatvecFp8 } from "./gate-up-matvec-fp8.ts";
import {
  GpuActivations,
  GpuExperts,
  GpuKvLayer,
  GpuMatrix,
  GpuTable,
  GpuWeights,
  own,
} from "./handles.ts";
import { type HeadShape, kvWidth } from "./head-shape.ts";
import { Head } from "./head.ts";
import { kvBuffers, kvWrite } from "./kv-write.ts";
import { matmulFp8 } from "./matmul-fp8.ts";
import { matvecFp8 } from "./matvec-fp8.ts";
import { PaddedRows } from "./padded-rows.ts";
import { measureReadBandwidth } from "./read-bandwidth.ts";
import { rmsNorm } from "./rms-norm.ts";
import { rope, type RopeTable, ropeTable } from "./rope.ts";
import { Router } from "./router.ts";
import { BatchRows, type Rows } from "./rows.ts";
import { Uploader } from "./uploader.ts";
import { warmUp } from "./warm-up.ts";
import { uploadMatrix, uploadTable, uploadWeights } from "./weight-upload.ts";

export interface GpuOptions extends OpenOptions {
  /** Bytes that experts may take on the device. */
  readonly expertBytes?: number;
}

/** Records each op as a dispatch or two; the device runs them when a result is asked for. */
export class GpuBackend implements Backend {
  readonly kind = "gpu";
  readonly device: string;
  readonly #gpu: Gpu;
  readonly #source: WeightSource;
  readonly #options: BackendOptions;
  readonly #shape: HeadShape;
  readonly #uploader: Uploader;
  readonly #batchRows: BatchRows;
  readonly #attention: Attention;
  readonly #ropeTable: RopeTable;
  readonly #padded: PaddedRows;
  readonly #head: Head;
  readonly #slots: ExpertSlots | null;
  readonly #expertMlp: ExpertMlp | null;
  readonly #router: Router | null;
  #kvBytes = 0;
  #batch: Batch | null = null;
  #rows: Rows | null = null;

  /** @throws ArcticError `device_…` when the model or the options do not fit the device */
  constructor(gpu: Gpu, source: WeightSource, options: BackendOptions, expertBytes?: number) {
    const { config } = source;
    const { heads, kvHeads, headDim, hiddenSize, experts, expertsPerToken } = config;
    this.device = gpu.info.name;
    this.#gpu = gpu;
    this.#source = source;
    this.#options = options;
    this.#shape = { heads, kvHeads, headDim, pageTokens: limits.pageTokens };
    warmUp(gpu, config, this.#shape, options.slots);
    this.#uploader = new Uploader(gpu, source);
    this.#batchRows = new BatchRows(gpu, limits.pageTokens, options.maxRows);
    this.#attention = new Attention(gpu, this.#shape);
    this.#ropeTable = ropeTable(gpu, options.slots, headDim, config.ropeTheta);
    this.#padded = new PaddedRows(gpu, options.maxRows);
    this.#head = new Head(gpu);

    const layer = config.layerKinds.findIndex((kind) => kind !== "dense");
    if (layer < 0) {
      this.#slots = this.#expertMlp = this.#router = null;
      return;
    }
    const total = config.layerKinds.filter((kind) => kind !== "dense").length * experts;
    const budget = expertBytes ?? defaultExpertBytes(gpu);
    const { maxRows } = options;
    this.#slots = new ExpertSlots(gpu, source, this.#uploader, { layer, total }, budget);
    this.#expertMlp = new ExpertMlp(gpu, this.#slots, maxRows * expertsPerToken);
    this.#router = new Router(gpu, hiddenSize, experts, expertsPerToken, maxRows);
  }

  activations(width: number): Activations {
    const bytes = this.#options.maxRows * width * 4;
    return new GpuActivations(width, whole(this.#gpu.buffer(`activations ${width}`, bytes)));
  }

  async table(tensor: StoredTensor): Promise<Table> {
    const parts = await uploadTable(this.#gpu, this.#uploader, tensor);
    return new GpuTable(tensor.rows, tensor.cols, parts);
  }

  async matrix(tensor: StoredTensor): Promise<Matrix> {
    return new GpuMatrix(await uploadMatrix(this.#gpu, this.#uploader, tensor));
  }

  async weights(tensor: StoredTensor): Promise<Weights> {
    const data = await uploadWeights(this.#gpu, this.#uploader, tensor);
    return new GpuWeights(tensor.rows, tensor.cols, data);
  }

  /** Experts are brought to the device now when those of all layers fit, else when they are chosen. */
  async experts(layer: number): Promise<Experts> {
    const slots = defined(this.#slots, "a layer with experts");
    const { experts, layerKinds } = this.#source.config;
    const total = layerKinds.filter((kind) => kind !== "dense").length * experts;
    if (slots.capacity >= total) {
      for (let e = 0; e < experts; e++) await slots.fetch(layer, e);
    }
    return new GpuExperts(layer, experts);
  }

  kv(layer: number): KvLayer {
    const { pages } = this.#options;
    this.#kvBytes += 2 * pages * this.#shape.pageTokens * kvWidth(this.#shape) * 4;
    return new GpuKvLayer(layer, kvBuffers(this.#gpu, `layer ${layer}`, pages, this.#shape));
  }

  memory(): Memory {
    return { weightBytes: this.#uploader.total, kvBytes: this.#kvBytes };
  }

  measureReadBandwidth(): Promise<number> {
    return measureReadBandwidth(this.#gpu, () => performance.now());
  }

  close(): void {
    this.#batch = null;
    this.#rows = null;
    this.#gpu.close();
  }

  begin(batch: Batch): void {
    assert(batch.logitRows.length <= this.#options.maxLogitRows, "too many logit rows in a batch");
    this.#rows = this.#batchRows.load(batch);
    this.#batch = batch;
  }

  embed(out: Activations, table: Table): void {
    const { data, width } = own(out, GpuActivations);
    const { parts, cols } = own(table, GpuTable);
    assert(width === cols, "the embedding's width is not the activations'");
    embed(this.#gpu, data, parts, this.#current(), width);
  }

  rmsNorm(
    out: readonly Activations[],
    x: Activations,
    weights: readonly Weights[],
    eps: number,
  ): void {
    const { data, width } = own(x, GpuActivations);
    assert(out.every((target) => target.width === width), "a norm of another width");
    const targets = out.map((target) => own(target, GpuActivations).data);
    const factors = weights.map((weight) => own(weight, GpuWeights).data);
    rmsNorm(this.#gpu, targets, data, factors, this.#current().count, width, eps);
  }

  linear(out: Activations, matrix: Matrix, x: Activations, add: boolean): void {
    const { fp8 } = own(matrix, GpuMatrix);
    assert(x.width === fp8.cols && out.width === fp8.rows, "a matrix of another shape");
    const tokens = this.#current().count;
    const product = {
      out: own(out, GpuActivations),
      matrix: fp8,
      x: this.#input(x),
      add,
      tokens,
      xFirst: 0,
      outFirst: 0,
    };
    if (tokens === 1) matvecFp8(this.#gpu, product);
    else matmulFp8(this.#gpu, product);
  }

  gateUp(out: Activations, matrix: Matrix, x: Activations): void {
    const { fp8 } = own(matrix, GpuMatrix);
    assert(x.width === fp8.cols && 2 * out.width === fp8.rows, "a matrix of another shape");
    const tokens = this.#current().count;
    const product = {
      out: own(out, GpuActivations),
      matrix: fp8,
      x: this.#input(x),
      add: false,
      tokens,
      xFirst: 0,
      outFirst: 0,
    };
    if (tokens === 1) gateUpMatvecFp8(this.#gpu, product);
    else gateUpMatmulFp8(this.#gpu, product);
  }

  rope(qkv: Activations): void {
    const { data } = own(qkv, GpuActivations);
    rope(this.#gpu, data, this.#current(), this.#ropeTable, this.#shape);
  }

  kvWrite(kv: KvLayer, qkv: Activations): void {
    const { buffers } = own(kv, GpuKvLayer);
    kvWrite(this.#gpu, buffers, own(qkv, GpuActivations).data, this.#current(), this.#shape);
  }

  attention(out: Activations, qkv: Activations, kv: KvLayer): void {
    this.#attention.record({
      out: own(out, GpuActivations).data,
      qkv: own(qkv, GpuActivations).data,
      kv: own(kv, GpuKvLayer).buffers,
      rows: this.#current(),
      table: this.#ropeTable,
    });
  }

  async route(x: Activations, router: Weights): Promise<Routing> {
    const chooser = defined(this.#router, "a model with experts");
    const rows = this.#current().count;
    const input = own(x, GpuActivations).data;
    const chosen = chooser.record(input, own(router, GpuWeights).data, rows);
    return chooser.decode(await this.#gpu.read(chosen), rows);
  }

  expertMlp(
    out: Activations,
    experts: Experts,
    routing: Routing,
    x: Activations,
    onExpert?: () => void,
  ): Promise<void> {
    const { layer, count } = own(experts, GpuExperts);
    assert(routing.experts.every((expert) => expert < count), "an expert that does not exist");
    const mlp = defined(this.#expertMlp, "a model with experts");
    const target = own(out, GpuActivations);
    return mlp.record(target, layer, routing, this.#input(x), this.#current().count, onExpert);
  }

  logits(head: Matrix, x: Activations): Promise<Float32Array> {
    const { fp8 } = own(head, GpuMatrix);
    assert(x.width === fp8.cols, "a head of another width");
    const { logitRows } = defined(this.#batch, "a batch that has begun");
    return this.#head.logits(fp8, this.#input(x), logitRows);
  }

  /** Activations as a product reads them. */
  #input(x: Activations): TokenRows {
    return this.#padded.input(own(x, GpuActivations), this.#current().count);
  }

  #current(): Rows {
    return defined(this.#rows, "a batch that has begun");
  }
}

/** A software adapter's memory is the machine's, and is known; that of a graphics card is not. */
function defaultExpertBytes(gpu: Gpu): number {
  return gpu.info.software ? Math.floor(freemem() * 0.8) : limits.gpuExpertBytes;
}

/**
 * The GPU as a backend.
 * @throws ArcticError `device_…` when there is no adapter that computes, or the model does not fit it
 */
export async function openGpuBackend(
  source: WeightSource,
  options: BackendOptions,
  gpuOptions: GpuOptions = {},
): Promise<Backend> {
  const gpu = await openGpu(gpuOptions);
  try {
    return new GpuBackend(gpu, source, options, gpuOptions.expertBytes);
  } catch (error) {
    gpu.close();
    throw error;
  }
}
