/**
 * Which tokens may be drawn, and with which weights. Temperature comes first, as in vLLM and
 * Transformers, so the filters see probabilities after it; they follow in llama.cpp's order, top-k,
 * typical-p, top-p, min-p, each on what the one before has left.
 *
 * typical-p: Meister et al. 2022, "Locally Typical Sampling". top-p: Holtzman et al. 2020, "The Curious
 * Case of Neural Text Degeneration". min-p: Nguyen et al. 2024, "Turning Up the Heat".
 */

import { likeliest } from "./logprobs.ts";
import type { Sampling } from "./request.ts";
import { selectMass } from "./select.ts";

export class Filters {
  readonly #sampling: Sampling;
  /** Tokens that may be drawn: the first `count`. */
  readonly ids: Uint32Array;
  count = 0;
  /** Probabilities relative to the likeliest token's, by id; valid for the tokens that may be drawn. */
  readonly weights: Float64Array;
  /** What a filter selects by: the smaller the better. */
  readonly #keys: Float64Array;

  constructor(sampling: Sampling, vocabulary: number) {
    this.#sampling = sampling;
    this.ids = new Uint32Array(vocabulary);
    this.weights = new Float64Array(vocabulary);
    this.#keys = new Float64Array(vocabulary);
  }

  /**
   * @param logits [vocabulary]; -Infinity cannot be drawn
   * @param top the largest of them, finite
   */
  apply(logits: Float32Array, top: number): void {
    const { topK, typicalP = 1, topP, minP } = this.#sampling;
    if (topK > 0 && topK < logits.length) this.#keepLikeliest(logits, top, topK);
    else this.#keepAll(logits, top);
    if (typicalP < 1) this.#keepTypical(typicalP);
    if (topP < 1) this.#keepNucleus(topP);
    if (minP > 0) this.#keepAbove(minP);
  }

  #keepAll(logits: Float32Array, top: number): void {
    const { temperature } = this.#sampling;
    const { ids, weights } = this;
    let count = 0;
    for (let id = 0; id < logits.length; id++) {
      const weight = Math.exp(((logits[id] as number) - top) / temperature);
      weights[id] = weight;
      if (weight > 0) ids[count++] = id;
    }
    this.count = count;
  }

  #keepLikeliest(logits: Float32Array, top: number, k: number): void {
    const { temperature } = this.#sampling;
    let count = 0;
    for (const id of likeliest(logits, k)) {
      const weight = Math.exp(((logits[id] as number) - top) / temperature);
      this.weights[id] = weight;
      if (weight > 0) this.ids[count++] = id;
    }
    this.count = count;
  }

  /** The tokens whose surprise is nearest the entropy, until their probabilities reach p. */
  #keepTypical(p: number): void {
    const { ids, weights, count } = this;
    const total = this.#total();
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const weight = weights[ids[i] as number] as number;
      sum += weight * Math.log(weight);
    }
    // Surprise and entropy both have the term log(total), so neither needs it.
    const entropy = -sum / total;
    for (let i = 0; i < count; i++) {
      const id = ids[i] as number;
      this.#keys[id] = Math.abs(-Math.log(weights[id] as number) - entropy);
    }
    this.count = selectMass(ids, count, this.#keys, weights, p * total);
  }

  #keepNucleus(p: number): void {
    const { ids, weights } = this;
    const total = this.#total();
    // Nothing below this is in the nucleus: all of it together is less than what the nucleus leaves
    // out. That mostly leaves few tokens to select from.
    const floor = (1 - p) * total / this.count;
    let count = 0;
    for (let i = 0; i < this.count; i++) {
      const id = ids[i] as number;
      const weight = weights[id] as number;
      if (weight < floor) continue;
      this.#keys[id] = -weight;
      ids[count++] = id;
    }
    this.count = selectMass(ids, count, this.#keys, weights, p * total);
  }

  #keepAbove(p: number): void {
    const { ids, weights } = this;
    let top = 0;
    for (let i = 0; i < this.count; i++) top = Math.max(top, weights[ids[i] as number] as number);
    let count = 0;
    for (let i = 0; i < this.count; i++) {
      const id = ids[i] as number;
      if ((weights[id] as number) >= p * top) ids[count++] = id;
    }
    this.count = count;
  }

  /** The place in `ids` that a uniform number in [0, 1) falls on. */
  draw(uniform: number): number {
    let rest = uniform * this.#total();
    for (let i = 0; i < this.count; i++) {
      rest -= this.weights[this.ids[i] as number] as number;
      if (rest < 0) return i;
    }
    // The rounding of many sums: nothing was left over for the last.
    return this.count - 1;
  }

  /** The token at this place of `ids` may not be drawn after all. */
  remove(place: number): void {
    this.ids.copyWithin(place, place + 1, this.count);
    this.count--;
  }

  #total(): number {
    let total = 0;
    for (let i = 0; i < this.count; i++) total += this.weights[this.ids[i] as number] as number;
    return total;
  }
}
