import { assert } from "../../assert.ts";
import type { Binding, Gpu } from "./context.ts";
import { broadcasts, folded, lanes, type TokenRows, ZERO } from "./fp8-product.ts";

/** Where the parts of every expert's record begin, in u32 words, and its shape. */
export interface ExpertLayout {
  /** Bytes of a whole record. */
  readonly bytes: number;
  /** Width of an expert: outputs of gate and of up, inputs of down. */
  readonly width: number;
  /** Width of x and of out. */
  readonly hidden: number;
  readonly gateUpStride: number;
  readonly gateUpScales: number;
  readonly downCodes: number;
  readonly downStride: number;
  readonly downScales: number;
}

/** An expert's record on the device, and the (row, weight) pairs that chose it. */
export interface ExpertJob {
  readonly record: Binding;
  /** Position of its first pair in `routes`. */
  readonly first: number;
  readonly count: number;
}

/** What one dispatch of each product takes: one expert, or two with one token each. */
export interface ExpertStep {
  readonly layout: ExpertLayout;
  readonly a: ExpertJob;
  readonly b: ExpertJob | null;
  /** (row, f32 weight) pairs, u32 [pairs, 2], grouped by expert. */
  readonly routes: Binding;
  /** f32 [pairs, width rounded up to 4] between the two products. */
  readonly h: TokenRows;
}

/** Tokens of one expert from which several at a time beat one at a time. */
export const MANY_TOKENS = 2;

/** Whether the step's tokens are taken several at a time. */
export function isMany({ a, b }: ExpertStep): boolean {
  const many = a.count >= MANY_TOKENS;
  assert(
    many ? b === null : (b?.count ?? 1) === 1,
    "two experts in one dispatch have a token each",
  );
  return many;
}

/** h[i] = silu(gate x[row of pair i]) * (up x[row of pair i]) for the step's pairs. */
export function expertGateUp(gpu: Gpu, step: ExpertStep, x: TokenRows): void {
  const { layout, a, b, h, routes } = step;
  const values = [
    layout.width,
    Math.ceil(layout.hidden / 4),
    layout.gateUpStride,
    layout.gateUpScales,
    x.width / 4,
    h.width,
    a.first,
  ];
  if (isMany(step)) {
    const broadcast = broadcasts(gpu);
    const [columns, folds] = folded(Math.ceil(layout.width / (broadcast ? 8 : 4)));
    gpu.dispatch(
      broadcast
        ? gpu.pipeline("expert-gate-up.many.broadcast")
        : gpu.pipeline("expert-gate-up.many", { LANES: lanes(gpu) }),
      [gpu.params([...values, a.count, ZERO]), a.record, routes, x.data, h.data],
      [columns, folds, Math.ceil(a.count / (broadcast ? 4 : 2))],
    );
    return;
  }
  const [columns, folds] = folded(Math.ceil(layout.width / 8));
  const params = gpu.params([...values, (b ?? a).first, ZERO]);
  gpu.dispatch(
    broadcasts(gpu)
      ? gpu.pipeline("expert-gate-up.broadcast")
      : gpu.pipeline("expert-gate-up", { LANES: lanes(gpu) }),
    [params, a.record, (b ?? a).record, routes, x.data, h.data],
    [columns, folds, b === null ? 1 : 2],
  );
}
