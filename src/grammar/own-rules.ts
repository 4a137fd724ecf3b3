/**
 * Values for which the compiler has no rules that are exact, or none that compile in time: strings of a
 * counted length and numbers between bounds. In the schema that it is given, a constant stands for them
 * that no client's schema can hold; in the EBNF that it makes of that, the rule takes the constant's place.
 */

import { defined } from "../assert.ts";
import { type Bound, boundedNumber } from "./bounded-number.ts";
import { countedString } from "./counted-string.ts";
import { Rules } from "./rules.ts";

/** A noncharacter, which Unicode keeps from being exchanged: schemas with it are refused. */
export const RESERVED = "\uffff";

/** A constant for strings of `least` to `most` characters. @param most Infinity where there is no end */
export function standInForString(least: number, most: number): string {
  return standIn("string", least, most);
}

/** A constant for numbers between two bounds. */
export function standInForNumber(least: Bound, most: Bound): string {
  return standIn("number", least.value, least.included, most.value, most.included);
}

function standIn(...words: readonly unknown[]): string {
  return RESERVED + words.join(" ") + RESERVED;
}

/** @param ebnf what the compiler makes of a schema */
export function withOwnRules(ebnf: string): string {
  const rules = new Rules();
  const pattern = new RegExp(String.raw`"\\"${RESERVED}([^${RESERVED}]*)${RESERVED}\\""`, "g");
  const text = ebnf.replace(pattern, (_, words: string) => rule(rules, words.split(" ")));
  return `${text}\n${rules}`;
}

function rule(rules: Rules, [kind, ...words]: readonly string[]): string {
  const word = (at: number) => defined(words[at], "a word of a stand-in");
  if (kind === "string") return countedString(rules, Number(word(0)), Number(word(1)));
  const bound = (at: number): Bound => ({
    value: Number(word(at)),
    included: word(at + 1) === "true",
  });
  return defined(boundedNumber(rules, bound(0), bound(2)), "a number between bounds");
}
