/** The mixture of experts of one layer: routing turned round, experts fetched, products recorded. */

import { assert } from "../../assert.ts";
import type { Routing } from "../../model/backend.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { expertDown } from "./expert-down.ts";
import { expertGateUp, type ExpertJob, MANY_TOKENS } from "./expert-gate-up.ts";
import type { ExpertSlots } from "./expert-slots.ts";
import type { TokenRows } from "./fp8-product.ts";
import { isSmall, smallExpert } from "./product-small.ts";

/** An expert and the pairs of `routes` that chose it. */
interface Chosen {
  readonly expert: number;
  readonly first: number;
  readonly count: number;
}

export class ExpertMlp {
  readonly #gpu: Gpu;
  readonly #slots: ExpertSlots;
  readonly #maxPairs: number;
  /** (row, weight) pairs, u32 [maxPairs, 2] */
  readonly #routes: Binding;
  /** f32 [maxPairs, expert width rounded up to 4] */
  readonly #h: TokenRows;

  /** @param maxPairs rows of the largest batch times experts a token */
  constructor(gpu: Gpu, slots: ExpertSlots, maxPairs: number) {
    this.#gpu = gpu;
    this.#slots = slots;
    this.#maxPairs = maxPairs;
    const width = Math.ceil(slots.layout.width / 4) * 4;
    this.#routes = whole(gpu.buffer("expert routes", maxPairs * 8));
    this.#h = { data: whole(gpu.buffer("expert hidden", maxPairs * width * 4)), width };
  }

  /**
   * out[r] += sum over the experts that row r chose; experts already on the device go first.
   * @param onExpert called for each expert once it is on the device
   */
  async record(
    out: TokenRows,
    layer: number,
    routing: Routing,
    x: TokenRows,
    rows: number,
    onExpert: () => void = () => {},
  ): Promise<void> {
    assert(rows * routing.expertsPerToken <= this.#maxPairs, `${rows} rows of routing`);
    const { chosen, routes } = turnRound(routing, rows);
    this.#gpu.upload(this.#routes.buffer, 0, routes);

    const here: Chosen[] = [];
    const missing: Chosen[] = [];
    for (const choice of chosen) {
      (this.#slots.find(layer, choice.expert) === undefined ? missing : here).push(choice);
    }
    const { width, hidden } = this.#slots.layout;
    const job = async ({ expert, first, count }: Chosen): Promise<ExpertJob> => {
      const record = await this.#slots.fetch(layer, expert);
      onExpert();
      return { record, first, count };
    };
    const small = isSmall(this.#gpu, 2 * width * hidden, routes.length / 2);
    for (const list of [here, missing]) {
      if (small) {
        for (const choice of list) this.#smallStep(out, x, await job(choice));
        continue;
      }
      const few = list.filter(({ count }) => count < MANY_TOKENS);
      const many = list.filter(({ count }) => count >= MANY_TOKENS);
      for (const choice of many) this.#step(out, x, await job(choice), null);
      for (let i = 0; i < few.length; i += 2) {
        const a = await job(few[i]!);
        const second = few[i + 1];
        this.#step(out, x, a, second === undefined ? null : await job(second));
      }
    }
  }

  #step(out: TokenRows, x: TokenRows, a: ExpertJob, b: ExpertJob | null): void {
    const step = { layout: this.#slots.layout, a, b, routes: this.#routes, h: this.#h };
    expertGateUp(this.#gpu, step, x);
    expertDown(this.#gpu, step, out);
  }

  #smallStep(out: TokenRows, x: TokenRows, a: ExpertJob): void {
    const step = { layout: this.#slots.layout, a, b: null, routes: this.#routes, h: this.#h };
    smallExpert(this.#gpu, step, x, out);
  }
}

/**
 * Routing by expert, ascending: each expert's (row, f32 weight) pairs lie together. A row whose
 * weights are NaN, because its activations are, comes last and shares with nobody: the rows beside it
 * pass through the same products as without it.
 */
export function turnRound(
  routing: Routing,
  rows: number,
): { readonly chosen: readonly Chosen[]; readonly routes: Uint32Array } {
  const k = routing.expertsPerToken;
  const alone = (i: number) => Number.isNaN(routing.weights[i]!);
  const order = Array.from({ length: rows * k }, (_, i) => i);
  order.sort((i, j) =>
    Number(alone(i)) - Number(alone(j)) || routing.experts[i]! - routing.experts[j]! || i - j
  );
  const weights = new Uint32Array(
    routing.weights.buffer,
    routing.weights.byteOffset,
    routing.weights.length,
  );
  const routes = new Uint32Array(rows * k * 2);
  const chosen: { expert: number; first: number; count: number }[] = [];
  for (const [at, i] of order.entries()) {
    routes[2 * at] = Math.floor(i / k);
    routes[2 * at + 1] = weights[i]!;
    const expert = routing.experts[i]!;
    const last = chosen.at(-1);
    if (last?.expert === expert && !alone(i)) last.count++;
    else chosen.push({ expert, first: at, count: 1 });
  }
  return { chosen, routes };
}
