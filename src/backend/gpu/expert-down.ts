import type { Gpu } from "./context.ts";
import { type ExpertStep, isMany } from "./expert-gate-up.ts";
import { broadcasts, folded, lanes, type TokenRows, ZERO } from "./fp8-product.ts";

/** out[row of pair i] += weight of pair i * (down h[i]) for the step's pairs. */
export function expertDown(gpu: Gpu, step: ExpertStep, out: TokenRows): void {
  const { layout, a, b, h, routes } = step;
  const values = [
    layout.hidden,
    Math.ceil(layout.width / 4),
    layout.downStride,
    layout.downCodes,
    layout.downScales,
    h.width / 4,
    out.width,
  ];
  if (isMany(step)) {
    const broadcast = broadcasts(gpu);
    const [columns, folds] = folded(Math.ceil(layout.hidden / (broadcast ? 16 : 8)));
    gpu.dispatch(
      broadcast
        ? gpu.pipeline("expert-down.many.broadcast")
        : gpu.pipeline("expert-down.many", { LANES: lanes(gpu) }),
      [gpu.params([...values, a.first, a.count, ZERO]), a.record, routes, h.data, out.data],
      [columns, folds, Math.ceil(a.count / (broadcast ? 4 : 2))],
    );
    return;
  }
  const [columns, folds] = folded(Math.ceil(layout.hidden / 16));
  const params = gpu.params([...values, b === null ? 1 : 2, a.first, (b ?? a).first, ZERO]);
  gpu.dispatch(
    broadcasts(gpu)
      ? gpu.pipeline("expert-down.broadcast")
      : gpu.pipeline("expert-down", { LANES: lanes(gpu) }),
    [params, a.record, (b ?? a).record, routes, h.data, out.data],
    [columns, folds],
  );
}
