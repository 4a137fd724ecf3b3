/**
 * From logits to one token: logit_bias, penalties (repetition, frequency and presence, DRY), then at
 * temperature 0 the likeliest token, else one drawn from what the filters keep (filters.ts says in
 * which order). Log-probabilities are the model's own, before any of that.
 */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { DryPenalty } from "./dry.ts";
import type { TokenLogprob } from "./events.ts";
import { Filters } from "./filters.ts";
import { argmax, tokenLogprobs } from "./logprobs.ts";
import { clampLogit, TokenCounts } from "./penalties.ts";
import { Random } from "./random.ts";
import type { Sampling, TokenConstraint } from "./request.ts";

export interface Sampled {
  readonly token: number;
  /** Natural log-probability under the model itself; where log-probabilities were asked for. */
  readonly logprob?: number;
  /** The likeliest tokens under the model itself, likeliest first. */
  readonly top?: readonly TokenLogprob[];
}

export interface SampleOptions {
  /** Tokens that it does not admit are passed over. */
  readonly constraint?: TokenConstraint;
  /** Tokens that cannot be drawn this time. */
  readonly banned?: ReadonlySet<number>;
  /** How many of the likeliest tokens to tell; undefined: no log-probabilities at all. */
  readonly top?: number;
}

/** Samples one request's tokens: what it draws depends on its seed and the logits, and nothing else. */
export class Sampler {
  readonly #sampling: Sampling;
  readonly #random: Random;
  readonly #counts: TokenCounts | undefined;
  readonly #dry: DryPenalty | undefined;
  /** The logits as bias, penalties and constraint have left them; made when there are any. */
  #adjusted: Float32Array | undefined;
  readonly #filters: Filters | undefined;
  readonly #vocabulary: number;

  constructor(
    sampling: Sampling,
    { prompt, vocabulary }: { prompt: readonly number[]; vocabulary: number },
  ) {
    this.#sampling = sampling;
    this.#vocabulary = vocabulary;
    this.#random = new Random(sampling.seed);
    const { penalties } = sampling;
    if (penalties && penalties.lastTokens > 0) {
      this.#counts = new TokenCounts(penalties, prompt);
      const { dry, lastTokens } = penalties;
      if (dry) this.#dry = new DryPenalty(dry, lastTokens, prompt);
    }
    if (sampling.temperature > 0) this.#filters = new Filters(sampling, vocabulary);
  }

  /** A token has become part of the output. */
  accept(token: number): void {
    this.#counts?.accept(token);
    this.#dry?.accept(token);
  }

  /**
   * The next token. `logits` [vocabulary] are not changed.
   * @throws ArcticError `engine_numerical_error` when a logit is not a number or none is finite;
   *   `engine_nothing_admitted` when constraint and bans leave nothing
   */
  next(logits: Float32Array, options: SampleOptions = {}): Sampled {
    const likeliest = argmax(logits);
    const token = this.#choose(logits, likeliest, options);
    if (options.top === undefined) return { token };
    return { token, ...tokenLogprobs(logits, logits[likeliest] as number, token, options.top) };
  }

  #choose(
    logits: Float32Array,
    likeliest: number,
    { constraint, banned }: SampleOptions,
  ): number {
    const { logitBias } = this.#sampling;
    if (!constraint && !banned?.size && !logitBias?.size && !this.#counts) {
      return this.#filters ? this.#draw(this.#filters, logits, likeliest) : likeliest;
    }
    const left = this.#adjust(logits, banned);
    if (constraint) return this.#chooseAdmitted(left, constraint);
    const best = largest(left);
    if (best === undefined) throw nothingAdmitted();
    return this.#filters ? this.#draw(this.#filters, left, best) : best;
  }

  #adjust(logits: Float32Array, banned: ReadonlySet<number> | undefined): Float32Array {
    this.#adjusted ??= new Float32Array(this.#vocabulary);
    const left = this.#adjusted;
    left.set(logits);
    for (const [token, bias] of this.#sampling.logitBias ?? []) {
      const x = left[token] as number;
      if (x !== -Infinity) left[token] = clampLogit(x + bias);
    }
    this.#counts?.apply(left);
    this.#dry?.apply(left);
    for (const token of banned ?? []) left[token] = -Infinity;
    return left;
  }

  /** @param likeliest the id of the largest of `logits` */
  #draw(filters: Filters, logits: Float32Array, likeliest: number): number {
    filters.apply(logits, logits[likeliest] as number);
    return filters.ids[filters.draw(this.#random.uniform())] as number;
  }

  /**
   * Asks about tokens as they are drawn, since asking can be expensive and most of what a model finds
   * likely is admitted. A token that is not is taken out and another drawn from what the filters kept;
   * once that is used up, the filters keep others. After many in vain it asks about every token.
   * @param left [vocabulary]; tokens that are not admitted become -Infinity
   */
  #chooseAdmitted(left: Float32Array, constraint: TokenConstraint): number {
    let tries = 0;
    const filters = this.#filters;
    for (;;) {
      const best = largest(left);
      if (best === undefined) throw nothingAdmitted();
      if (tries >= limits.constraintTries) {
        return this.#chooseFromAll(left, constraint);
      }
      if (!filters) {
        if (constraint.admits(best)) return best;
        left[best] = -Infinity;
        tries++;
        continue;
      }
      filters.apply(left, left[best] as number);
      while (filters.count > 0 && tries < limits.constraintTries) {
        const place = filters.draw(this.#random.uniform());
        const token = filters.ids[place] as number;
        if (constraint.admits(token)) return token;
        left[token] = -Infinity;
        filters.remove(place);
        tries++;
      }
    }
  }

  #chooseFromAll(left: Float32Array, constraint: TokenConstraint): number {
    for (let token = 0; token < left.length; token++) {
      if (left[token] !== -Infinity && !constraint.admits(token)) left[token] = -Infinity;
    }
    const best = largest(left);
    if (best === undefined) throw nothingAdmitted();
    return this.#filters ? this.#draw(this.#filters, left, best) : best;
  }
}

/** The lowest id of the largest logit, undefined when all are -Infinity. */
function largest(logits: Float32Array): number | undefined {
  let best: number | undefined;
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    if ((logits[i] as number) > top) {
      top = logits[i] as number;
      best = i;
    }
  }
  return best;
}

function nothingAdmitted(): ArcticError {
  return new ArcticError(
    "engine_nothing_admitted",
    "No token of the vocabulary is allowed here by what the output must be.",
  );
}
