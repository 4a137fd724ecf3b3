import { setImmediate } from "node:timers/promises";
import { availableParallelism, cpus } from "node:os";
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
import { assert } from "../../assert.ts";
import { ArcticError } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { embed } from "./embed.ts";
import {
  asBf16,
  asF32,
  CpuActivations,
  CpuExperts,
  CpuKvLayer,
  CpuMatrix,
  CpuTable,
  CpuWeights,
  mappedFp8,
  own,
  withExpert,
} from "./handles.ts";
import { type HeadShape, visibleEntries } from "./kv-pages.ts";
import { kvWrite } from "./kv-write.ts";
import { groupByExpert, type Run, runsOf } from "./plan.ts";
import { measureReadBandwidth } from "./read-bandwidth.ts";
import { rmsNorm } from "./rms-norm.ts";
import { Threads } from "./threads.ts";
import { rope, type RopeTable, ropeTable } from "./rope.ts";
import { router as chooseExperts } from "./router.ts";
import { sharedF32, Workspace } from "./workspace.ts";

/**
 * Computes each op when it is called, straight from the mapped weights: a model of any size runs
 * from the page cache. `route` and `logits` let other work of the process run before they resolve.
 */
export class CpuBackend implements Backend {
  readonly kind = "cpu";
  readonly device: string;
  readonly #source: WeightSource;
  readonly #options: BackendOptions;
  readonly #shape: HeadShape;
  readonly #ropeTable: RopeTable;
  readonly #threads: Threads;
  /** What passes from one op to the next within a step, and the logits. */
  readonly #workspace = new Workspace();
  #weightBytes = 0;
  #kvBytes = 0;
  #batch: Batch | null = null;
  #runs: readonly Run[] = [];
  /** The slot of each row's query. */
  #slots: Uint32Array;

  constructor(source: WeightSource, options: BackendOptions, threads: Threads) {
    const { heads, kvHeads, headDim, ropeTheta } = source.config;
    this.device = cpus()[0]?.model ?? "CPU";
    this.#source = source;
    this.#threads = threads;
    this.#options = options;
    this.#shape = { heads, kvHeads, headDim, pageTokens: limits.pageTokens };
    this.#slots = new Uint32Array(options.maxRows);
    this.#ropeTable = ropeTable(options.slots, headDim, ropeTheta);
  }

  activations(width: number): Activations {
    return new CpuActivations(width, allocate(this.#options.maxRows * width, "activations"));
  }

  table(tensor: StoredTensor): Promise<Table> {
    assert(tensor.dtype === "bf16", `${tensor.name} is ${tensor.dtype}, not bf16`);
    const bf16 = asBf16(this.#mapped(tensor));
    return Promise.resolve(new CpuTable(tensor.rows, tensor.cols, bf16));
  }

  matrix(tensor: StoredTensor): Promise<Matrix> {
    this.#weightBytes += tensor.data.bytes + (tensor.scales?.bytes ?? 0);
    return Promise.resolve(new CpuMatrix(mappedFp8(this.#source, tensor)));
  }

  weights(tensor: StoredTensor): Promise<Weights> {
    assert(tensor.dtype === "f32", `${tensor.name} is ${tensor.dtype}, not f32`);
    const data = asF32(this.#mapped(tensor));
    return Promise.resolve(new CpuWeights(tensor.rows, tensor.cols, data));
  }

  experts(layer: number): Promise<Experts> {
    for (let e = 0; e < this.#source.config.experts; e++) {
      this.#weightBytes += this.#source.expert(layer, e).range.bytes;
    }
    return Promise.resolve(new CpuExperts(layer, this.#source));
  }

  kv(layer: number): KvLayer {
    const { kvHeads, headDim, pageTokens } = this.#shape;
    const values = this.#options.pages * pageTokens * kvHeads * headDim;
    const what = `the keys and values of layer ${layer}`;
    this.#kvBytes += 2 * values * 4;
    return new CpuKvLayer(layer, { keys: allocate(values, what), values: allocate(values, what) });
  }

  memory(): Memory {
    return { weightBytes: this.#weightBytes, kvBytes: this.#kvBytes };
  }

  measureReadBandwidth(): Promise<number> {
    return Promise.resolve(measureReadBandwidth(() => performance.now()));
  }

  close(): void {
    this.#batch = null;
    this.#threads.close();
  }

  begin(batch: Batch): void {
    this.#runs = runsOf(batch, this.#options, this.#shape.pageTokens);
    assert(batch.logitRows.length <= this.#options.maxLogitRows, "too many logit rows in a batch");
    for (const { view, row, position, rows } of this.#runs) {
      for (let r = 0; r < rows; r++) {
        this.#slots[row + r] = visibleEntries(view, position + r) - 1;
      }
    }
    this.#batch = batch;
  }

  embed(out: Activations, table: Table): void {
    const { data, width } = own(out, CpuActivations);
    const { bf16, rows, cols } = own(table, CpuTable);
    const { tokens } = this.#current();
    assert(width === cols, "the embedding's width is not the activations'");
    assert(tokens.every((token) => token < rows), "a token beyond the vocabulary");
    embed(data, bf16, tokens, width);
  }

  rmsNorm(
    out: readonly Activations[],
    x: Activations,
    weights: readonly Weights[],
    eps: number,
  ): void {
    const { data, width } = own(x, CpuActivations);
    assert(out.length === weights.length, "a norm needs a weight for each output");
    for (const [i, target] of out.entries()) {
      const weight = own(weights[i]!, CpuWeights);
      assert(weight.data.length === width && target.width === width, "a norm of another width");
      rmsNorm(own(target, CpuActivations).data, data, weight.data, this.#rows(), width, eps);
    }
  }

  linear(out: Activations, matrix: Matrix, x: Activations, add: boolean): void {
    const { fp8 } = own(matrix, CpuMatrix);
    assert(x.width === fp8.cols && out.width === fp8.rows, "a matrix of another shape");
    const target = own(out, CpuActivations).data, input = own(x, CpuActivations).data;
    const rows = this.#rows();
    this.#threads.run({ op: "linear", out: target, matrix: fp8, x: input, rows, add });
  }

  gateUp(out: Activations, matrix: Matrix, x: Activations): void {
    const { fp8 } = own(matrix, CpuMatrix);
    assert(x.width === fp8.cols && 2 * out.width === fp8.rows, "a matrix of another shape");
    const target = own(out, CpuActivations).data, input = own(x, CpuActivations).data;
    this.#threads.run({ op: "gate-up", out: target, matrix: fp8, x: input, rows: this.#rows() });
  }

  rope(qkv: Activations): void {
    const { data, width } = own(qkv, CpuActivations);
    rope(data, this.#slots.subarray(0, this.#rows()), this.#ropeTable, this.#shape.heads, width);
  }

  kvWrite(kv: KvLayer, qkv: Activations): void {
    const { data, width } = own(qkv, CpuActivations);
    const { pages } = own(kv, CpuKvLayer);
    for (const { view, row, position, rows } of this.#runs) {
      const source = data.subarray(row * width, (row + rows) * width);
      kvWrite(pages, source, view, position, rows, this.#shape);
    }
  }

  attention(out: Activations, qkv: Activations, kv: KvLayer): void {
    const { data: target, width: outWidth } = own(out, CpuActivations);
    const { data: source, width } = own(qkv, CpuActivations);
    const { pages } = own(kv, CpuKvLayer);
    for (const { view, row, position, rows } of this.#runs) {
      this.#threads.run({
        op: "attention",
        out: target.subarray(row * outWidth, (row + rows) * outWidth),
        qkv: source.subarray(row * width, (row + rows) * width),
        kv: pages,
        view,
        position,
        rows,
        table: this.#ropeTable,
        shape: this.#shape,
      });
    }
  }

  async route(x: Activations, router: Weights): Promise<Routing> {
    const { data, width } = own(x, CpuActivations);
    const { data: weight, rows: count } = own(router, CpuWeights);
    const { expertsPerToken } = this.#source.config;
    const rows = this.#rows();
    const experts = new Uint32Array(rows * expertsPerToken);
    const weights = new Float32Array(rows * expertsPerToken);
    chooseExperts(experts, weights, data, weight, rows, width, count, expertsPerToken);
    await setImmediate();
    return { expertsPerToken, experts, weights };
  }

  expertMlp(
    out: Activations,
    experts: Experts,
    routing: Routing,
    x: Activations,
    onExpert?: () => void,
  ): Promise<void> {
    const target = own(out, CpuActivations).data, input = own(x, CpuActivations).data;
    const layer = own(experts, CpuExperts);
    const chosen = groupByExpert(routing, this.#rows());
    // An expert that cannot be read is a rejection.
    return Promise.try(() => {
      for (const { expert, rows, weights } of chosen) {
        assert(expert < layer.count, "an expert beyond the layer's");
        withExpert(layer, expert, ({ gateUp, down }) => {
          assert(gateUp.cols === x.width && down.rows === out.width, "an expert of another shape");
          const h = this.#workspace.f32("h", rows.length * down.cols);
          this.#threads.run({ op: "expert-gate-up", out: h, matrix: gateUp, x: input, rows });
          this.#threads.run({ op: "expert-down", out: target, matrix: down, h, rows, weights });
        });
        onExpert?.();
      }
    });
  }

  async logits(head: Matrix, x: Activations): Promise<Float32Array> {
    const { fp8 } = own(head, CpuMatrix);
    const { data, width } = own(x, CpuActivations);
    assert(width === fp8.cols, "a head of another width");
    const { logitRows } = this.#current();
    const rows = logitRows.length, values = rows * fp8.rows;
    const wanted = this.#workspace.f32("wanted", rows * width);
    for (const [i, row] of logitRows.entries()) {
      wanted.set(data.subarray(row * width, (row + 1) * width), i * width);
    }
    const out = this.#workspace.f32("logits", values);
    if (rows > 0) {
      this.#threads.run({ op: "linear", out, matrix: fp8, x: wanted, rows, add: false });
    }
    await setImmediate();
    return out.subarray(0, values);
  }

  #current(): Batch {
    assert(this.#batch, "an op before the batch has begun");
    return this.#batch;
  }

  #rows(): number {
    return this.#current().tokens.length;
  }

  #mapped(tensor: StoredTensor): Uint8Array {
    const { shard, data, name, rows, stride } = tensor;
    assert(data.bytes === rows * stride, `${name} is ${data.bytes} bytes for its shape`);
    this.#weightBytes += data.bytes;
    return this.#source.mapped(shard, data.offset, data.bytes);
  }
}

/**
 * The CPU as a backend.
 * @param threads in all; a model whose matrices are not worth sharing uses one
 */
export async function openCpuBackend(
  source: WeightSource,
  options: BackendOptions,
  threads: number = availableParallelism(),
): Promise<Backend> {
  const worthwhile = source.config.hiddenSize ** 2 >= limits.cpuSharedWork;
  return new CpuBackend(source, options, await Threads.open(worthwhile ? threads : 1));
}

function allocate(values: number, what: string): Float32Array {
  try {
    return sharedF32(values);
  } catch (cause) {
    throw new ArcticError(
      "device_out_of_memory",
      `There is not enough memory for ${what} (${values * 4} bytes). ` +
        "Allow fewer or shorter sequences.",
      { cause },
    );
  }
}
