/** How a model's tokens spread over its experts. */

import type { ModelConfig } from "../../weights-manifest/config.ts";
import type { Routing } from "../model/backend.ts";

export interface LayerHistogram {
  readonly layer: number;
  /** Tokens that passed the layer's router. */
  readonly tokens: number;
  /** Tokens that each expert took; a token counts once for each of its experts. */
  readonly counts: readonly number[];
  /** The same as fractions of `tokens`: they sum to the number of experts a token takes. */
  readonly fractions: readonly number[];
}

export class ExpertHistogram {
  readonly #layers = new Map<number, { tokens: number; counts: number[] }>();

  constructor({ layerKinds, experts }: ModelConfig) {
    for (const [layer, kind] of layerKinds.entries()) {
      if (kind === "dense") continue;
      this.#layers.set(layer, { tokens: 0, counts: new Array<number>(experts).fill(0) });
    }
  }

  /** Counts every row of one layer's routing. */
  add(layer: number, { experts, expertsPerToken }: Routing): void {
    const counted = this.#layers.get(layer);
    if (counted === undefined) throw new RangeError(`layer ${layer} has no experts`);
    counted.tokens += experts.length / expertsPerToken;
    for (const expert of experts) counted.counts[expert] = (counted.counts[expert] ?? 0) + 1;
  }

  layers(): LayerHistogram[] {
    return [...this.#layers].map(([layer, { tokens, counts }]) => ({
      layer,
      tokens,
      counts,
      fractions: counts.map((count) => tokens === 0 ? 0 : count / tokens),
    }));
  }
}
