/**
 * Numbers between two bounds, as EBNF rules that follow their digits: as long as a number begins as a
 * bound does, its next digit is held to the bound's.
 *
 * Numbers are written without an exponent. Of those with a fraction there are at most 15 digits: so many
 * are told apart by a double (IEEE 754), and a number below a bound is not rounded up to it.
 */

import type { Rules } from "./rules.ts";

const DIGITS = 15;

export interface Bound {
  readonly value: number;
  /** Whether the bound itself is among the numbers. */
  readonly included: boolean;
}

/** The digits of a magnitude: `whole` of them before the point, without a zero in front. */
interface Edge {
  readonly digits: string;
  readonly whole: number;
  readonly included: boolean;
}

/**
 * Adds the rules of the numbers from `least` to `most`.
 * @param least,most finite
 * @returns what names them; undefined where there is none
 */
export function boundedNumber(rules: Rules, least: Bound, most: Bound): string | undefined {
  const zero: Bound = { value: 0, included: true };
  const choices: string[] = [];
  if (most.value >= 0) {
    const from = least.value < 0 ? zero : least;
    choices.push(...magnitudes(rules, edgeOf(from), edgeOf(most)));
  }
  if (least.value < 0) {
    // Zero has no sign.
    const from = most.value < 0 ? most : { value: 0, included: false };
    choices.push(...magnitudes(rules, edgeOf(from), edgeOf(least)).map((name) => `"-" ${name}`));
  }
  return choices.length === 0 ? undefined : `( ${choices.join(" | ")} )`;
}

function edgeOf({ value, included }: Bound): Edge {
  const [mantissa = "0", exponent = "0"] = Math.abs(value).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const whole = Number(exponent) + 1;
  if (whole <= 0) return { digits: "0".repeat(1 - whole) + digits, whole: 1, included };
  return { digits: digits.padEnd(whole, "0"), whole, included };
}

/** One rule for each count of digits before the point. */
function magnitudes(rules: Rules, low: Edge, high: Edge): string[] {
  const names: string[] = [];
  for (let whole = low.whole; whole <= high.whole; whole++) {
    const name = new Magnitudes(
      rules,
      whole,
      whole === low.whole ? low : undefined,
      whole === high.whole ? high : undefined,
    ).from(0, true, true);
    if (name !== undefined) names.push(name);
  }
  return names;
}

/** Magnitudes with `whole` digits before the point. */
class Magnitudes {
  readonly #rules: Rules;
  readonly #whole: number;
  readonly #low: Edge | undefined;
  readonly #high: Edge | undefined;

  constructor(rules: Rules, whole: number, low: Edge | undefined, high: Edge | undefined) {
    this.#rules = rules;
    this.#whole = whole;
    this.#low = low;
    this.#high = high;
  }

  /**
   * The rule of what comes after the first `at` digits; undefined where nothing can.
   * @param isLow,isHigh whether these digits are the bound's own
   */
  from(at: number, isLow: boolean, isHigh: boolean): string | undefined {
    const low = isLow ? this.#low : undefined;
    const high = isHigh ? this.#high : undefined;
    const choices = this.#canEnd(at, low, high) ? ['""'] : [];
    if (at < Math.max(this.#whole, DIGITS)) {
      const point = at === this.#whole ? '"." ' : "";
      choices.push(...this.#digits(at, low, high).map((text) => point + text));
    }
    if (choices.length === 0) return undefined;
    const edges = [low, high].map((edge) =>
      edge === undefined ? "free" : `${edge.digits}.${edge.whole}${edge.included ? "" : ".open"}`
    );
    return this.#rules.add(`number_${this.#whole}_${at}_${edges.join("_")}`, choices.join(" | "));
  }

  #canEnd(at: number, low: Edge | undefined, high: Edge | undefined): boolean {
    if (at < this.#whole) return false;
    const isMore = ({ digits }: Edge) => /[1-9]/.test(digits.slice(at));
    return (low === undefined || (low.included && !isMore(low))) &&
      (high === undefined || high.included || isMore(high));
  }

  /** The next digit and what follows it: the bounds' own digits, and those between them. */
  #digits(at: number, low: Edge | undefined, high: Edge | undefined): string[] {
    const digitOf = ({ digits }: Edge) => Number(digits[at] ?? 0);
    const first = low ? digitOf(low) : at === 0 && this.#whole > 1 ? 1 : 0;
    const last = high ? digitOf(high) : 9;
    const between = { from: low ? first + 1 : first, to: high ? last - 1 : last };
    const choices: string[] = [];
    const add = (set: string, rest: string | undefined) => {
      if (rest !== undefined) choices.push(`${set} ${rest}`);
    };
    if (low && high && first === last) add(`"${first}"`, this.from(at + 1, true, true));
    else if (first <= last) {
      if (low) add(`"${first}"`, this.from(at + 1, true, false));
      if (high) add(`"${last}"`, this.from(at + 1, false, true));
    }
    if (between.from <= between.to) {
      add(`[${between.from}-${between.to}]`, this.from(at + 1, false, false));
    }
    return choices;
  }
}
