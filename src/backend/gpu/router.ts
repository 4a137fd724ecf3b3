import { assert } from "../../assert.ts";
import type { Routing } from "../../model/backend.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { isSmall } from "./product-small.ts";

/** Rows of a batch that share one reading of the router. */
const TILE_ROWS = 4;

/** Experts that router.small takes at most, and weights from which the other kernels are quicker. */
const SMALL_EXPERTS = 256;
const SMALL_ROUTER = 2 ** 16;

/** Whether router.small is the kernel for so many rows. */
export function isSmallRouter(gpu: Gpu, hidden: number, experts: number, rows: number): boolean {
  const weights = hidden * experts;
  return isSmall(gpu, weights, rows) && weights <= SMALL_ROUTER && experts <= SMALL_EXPERTS;
}

/**
 * Which experts a row takes: softmax over all in f32, the k largest (ties: the lower id), divided by
 * their sum when k > 1. Owns the logits and the choice of one batch.
 */
export class Router {
  readonly #gpu: Gpu;
  readonly #hidden: number;
  readonly #experts: number;
  readonly #k: number;
  readonly #maxRows: number;
  readonly #logits: Binding;
  readonly #routing: Binding;

  /** @param hidden width of the router, @param k experts a row */
  constructor(gpu: Gpu, hidden: number, experts: number, k: number, maxRows: number) {
    assert(k >= 1 && k <= 8 && k <= experts, `${k} of ${experts} experts`);
    this.#gpu = gpu;
    this.#hidden = hidden;
    this.#experts = experts;
    this.#k = k;
    this.#maxRows = maxRows;
    this.#logits = whole(gpu.buffer("router logits", maxRows * experts * 4));
    this.#routing = whole(gpu.buffer("routing", maxRows * k * 8));
  }

  /**
   * @param x f32 [rows, hidden]
   * @param router f32 [experts, hidden]
   * @returns [rows, k] ids as u32, then [rows, k] weights as f32, until the next record
   */
  record(x: Binding, router: Binding, rows: number): Binding {
    assert(rows >= 1 && rows <= this.#maxRows, `${rows} rows, ${this.#maxRows} at most`);
    if (isSmallRouter(this.#gpu, this.#hidden, this.#experts, rows)) {
      const params = this.#gpu.params([rows, this.#k, this.#hidden, this.#experts]);
      this.#gpu.dispatch(
        this.#gpu.pipeline("router.small"),
        [x, router, this.#routing, params],
        [rows],
      );
      return { ...this.#routing, size: rows * this.#k * 8 };
    }
    const software = this.#gpu.subgroupSize <= 8;
    const logitThreads = software ? 8 : 128;
    const selectThreads = software ? 8 : 64;
    const tile = rows === 1 ? 1 : TILE_ROWS;
    const logits = this.#gpu.pipeline("router", {
      WIDTH: this.#hidden,
      EXPERTS: this.#experts,
      ROWS: tile,
      THREADS: logitThreads,
    });
    this.#gpu.dispatch(
      logits,
      [x, router, this.#logits, this.#gpu.params([rows, logitThreads / 2])],
      [Math.ceil(this.#experts / 4), Math.ceil(rows / tile)],
    );
    const select = this.#gpu.pipeline("router.select", {
      EXPERTS: this.#experts,
      THREADS: selectThreads,
    });
    this.#gpu.dispatch(
      select,
      [this.#logits, this.#routing, this.#gpu.params([rows, this.#k, selectThreads / 2])],
      [rows],
    );
    return { ...this.#routing, size: rows * this.#k * 8 };
  }

  /**
   * What `record` left, read back. A row whose activations are NaN has k different experts like any
   * other, and NaN weights.
   */
  decode(bytes: ArrayBuffer, rows: number): Routing {
    const count = rows * this.#k;
    return {
      expertsPerToken: this.#k,
      experts: new Uint32Array(bytes, 0, count),
      weights: new Float32Array(bytes, count * 4, count),
    };
  }
}
