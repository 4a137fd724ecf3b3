/**
 * Products of models so small that a software adapter compiles the usual kernels for longer than it
 * computes: all of them with one pipeline, and attention and routing with kernels of the same kind.
 */

import type { Binding, Gpu } from "./context.ts";
import type { ExpertStep } from "./expert-gate-up.ts";
import { folded, isSoftware, type Product, type TokenRows } from "./fp8-product.ts";

/** Weights of the largest matrix, and multiplications of the largest product, that count as small. */
const SMALL_WEIGHTS = 2 ** 19;
const SMALL_WORK = 2 ** 24;

/** Whether a product of so many weights and tokens is computed sooner than other kernels compile. */
export function isSmall(gpu: Gpu, weights: number, tokens: number): boolean {
  return isSoftware(gpu) && weights <= SMALL_WEIGHTS && weights * tokens <= SMALL_WORK;
}

/** The parameters of matmul-fp8.small.wgsl; `pair` is the rows of gate in a gated product. */
interface Small {
  readonly record: Binding;
  readonly routes: Binding;
  readonly x: TokenRows;
  readonly out: TokenRows;
  readonly tokens: number;
  readonly rows: number;
  readonly cols: number;
  readonly stride: number;
  readonly codes: number;
  readonly scales: number;
  readonly gated: boolean;
  readonly add: boolean;
  readonly column: number;
  readonly xFirst: number;
  readonly outFirst: number;
  readonly routed: "x" | "out" | "no";
  readonly routeFirst: number;
}

function record(gpu: Gpu, of: Small): void {
  const params = gpu.params([
    of.rows,
    Math.ceil(of.cols / 4),
    of.stride,
    of.codes,
    of.scales,
    of.gated ? of.rows : 16,
    of.gated ? 1 : 0,
    of.add ? 1 : 0,
    of.x.width / 4,
    of.xFirst,
    of.out.width,
    of.column,
    of.outFirst,
    of.routeFirst,
    { no: 0, x: 1, out: 2 }[of.routed],
    4,
  ]);
  const [columns, folds] = folded(Math.ceil(of.rows / (of.gated ? 16 : 32)));
  gpu.dispatch(
    gpu.pipeline("matmul-fp8.small"),
    [params, of.record, of.routes, of.x.data, of.out.data],
    [columns, folds, of.tokens],
  );
}

/** Records the product if it is small and each part of its matrix is one buffer. */
export function recordSmall(gpu: Gpu, product: Product): boolean {
  const { matrix, tokens } = product;
  const { parts } = matrix;
  const joined = parts.every(({ codes, scales }) =>
    codes.buffer === scales.buffer && codes.offset === 0 && scales.offset % 4 === 0
  );
  if (!joined || !isSmall(gpu, matrix.rows * matrix.cols, tokens)) return false;
  for (const { codes, scales, outputs, first } of parts) {
    const whole = { buffer: codes.buffer, offset: 0, size: scales.offset + scales.size };
    record(gpu, {
      ...product,
      record: whole,
      routes: whole,
      rows: outputs,
      cols: matrix.cols,
      stride: matrix.stride / 4,
      codes: 0,
      scales: scales.offset / 4,
      gated: matrix.stacked,
      column: first,
      routed: "no",
      routeFirst: 0,
    });
  }
  return true;
}

/** Both products of an expert: see expertGateUp and expertDown. */
export function smallExpert(gpu: Gpu, step: ExpertStep, x: TokenRows, out: TokenRows): void {
  const { layout, a, routes, h } = step;
  const shared = { record: a.record, routes, tokens: a.count, column: 0, routeFirst: a.first };
  record(gpu, {
    ...shared,
    x,
    out: h,
    rows: layout.width,
    cols: layout.hidden,
    stride: layout.gateUpStride,
    codes: 0,
    scales: layout.gateUpScales,
    gated: true,
    add: false,
    xFirst: 0,
    outFirst: a.first,
    routed: "x",
  });
  record(gpu, {
    ...shared,
    x: h,
    out,
    rows: layout.hidden,
    cols: layout.width,
    stride: layout.downStride,
    codes: layout.downCodes,
    scales: layout.downScales,
    gated: false,
    add: true,
    xFirst: a.first,
    outFirst: 0,
    routed: "out",
  });
}
