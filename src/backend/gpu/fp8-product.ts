/** What the four products with an FP8 matrix have in common: its parts, parameters and dispatch size. */

import { assert } from "../../assert.ts";
import { limits } from "../../limits.ts";
import type { Binding, Gpu } from "./context.ts";

/** Adjacent outputs of a matrix, small enough for one binding. */
export interface Fp8Part {
  /** First output (row of the matrix; of gate, in a stacked matrix). */
  readonly first: number;
  readonly outputs: number;
  /** E4M3 codes [outputs, stride]; stacked: gate's rows, then the same rows of up. */
  readonly codes: Binding;
  /** f32, one a row of codes. */
  readonly scales: Binding;
}

export interface Fp8Matrix {
  readonly rows: number;
  readonly cols: number;
  /** Bytes from one row to the next, a multiple of 16. */
  readonly stride: number;
  /** Whether the rows are gate's, then up's. */
  readonly stacked: boolean;
  readonly parts: readonly Fp8Part[];
}

/** Rows of tokens: f32 [rows, width], width a multiple of 4 where a product reads it. */
export interface TokenRows {
  readonly data: Binding;
  readonly width: number;
}

export interface Product {
  readonly out: TokenRows;
  readonly matrix: Fp8Matrix;
  readonly x: TokenRows;
  readonly add: boolean;
  /** Rows of x that are multiplied, and the first of them; the first row of out that is written. */
  readonly tokens: number;
  readonly xFirst: number;
  readonly outFirst: number;
}

/** Which text of a kernel suits the device, and what one workgroup of it computes. */
export interface ProductKernel {
  readonly kernel: string;
  readonly constants: Readonly<Record<string, number>>;
  readonly outputsPerGroup: number;
  readonly tokensPerGroup: number;
}

/** Weights from which a product of several tokens is worth a kernel that takes longer to compile. */
const STAGED_WEIGHTS = 2 ** 18;

/** Lanes of a workgroup of the .broadcast kernels, its only subgroup; in matmuls also its tokens. */
export const BROADCAST_LANES = 8;

/** Whether x passes through workgroup memory, and lanes are rows: the .staged kernels. */
export function isStaged(gpu: Gpu, { matrix }: Product): boolean {
  return isSoftware(gpu) && gpu.info.uniformLoads && matrix.rows * matrix.cols >= STAGED_WEIGHTS;
}

/** Whether lanes share x by broadcasts: the .broadcast kernels of matvecs and experts. */
export function broadcasts(gpu: Gpu): boolean {
  return gpu.info.software && gpu.subgroupSize === BROADCAST_LANES;
}

/**
 * The .broadcast kernels of matmuls: only for adapters that load lane by lane even what is the same for
 * all lanes.
 */
export function broadcastsMatmul(gpu: Gpu): boolean {
  return broadcasts(gpu) && !gpu.info.uniformLoads;
}

/** The last parameter of kernels that use kernels/lib/fp8-rows.wgsl; others do not read it. */
export const ZERO = 0;

/** Records one dispatch for each part of the matrix. */
export function recordProduct(gpu: Gpu, product: Product, choice: ProductKernel): void {
  const { out, matrix, x, tokens } = product;
  assert(x.width % 4 === 0 && x.width >= matrix.cols, `x of width ${x.width}`);
  const pipeline = gpu.pipeline(choice.kernel, choice.constants);
  for (const part of matrix.parts) {
    const params = gpu.params([
      part.outputs,
      Math.ceil(matrix.cols / 4),
      matrix.stride / 4,
      tokens,
      x.width / 4,
      out.width,
      part.first,
      product.add ? 1 : 0,
      product.xFirst,
      product.outFirst,
      ZERO,
    ]);
    const [columns, folds] = folded(Math.ceil(part.outputs / choice.outputsPerGroup));
    gpu.dispatch(
      pipeline,
      [params, part.codes, part.scales, x.data, out.data],
      [columns, folds, Math.ceil(tokens / choice.tokensPerGroup)],
    );
  }
}

/** `groups` workgroups as x and y; kernels ignore the few past the end. */
export function folded(groups: number): [number, number] {
  const most = limits.workgroupsPerDimension;
  return groups <= most ? [groups, 1] : [most, Math.ceil(groups / most)];
}

/** Invocations that share a row: a vector register of a software adapter, a wave or two of a GPU. */
export function lanes(gpu: Gpu): number {
  return isSoftware(gpu) ? gpu.subgroupSize : 64;
}

/** A software adapter's subgroup is a vector register: what is fast there is not on a real GPU. */
export function isSoftware(gpu: Gpu): boolean {
  return gpu.subgroupSize > 0 && gpu.subgroupSize <= 8;
}
