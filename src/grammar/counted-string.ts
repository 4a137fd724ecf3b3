/**
 * JSON strings of a counted length, as EBNF rules that cost the compiler the same whatever the length.
 *
 * The compiler finds out beforehand, for each place of a rule where a character can stand, which tokens
 * can begin there. Written out, `{0,200}` has two hundred such places. But a token does not reach far: where
 * at least NEAR more characters come for certain, all places are one and the same, whatever follows. So
 * those characters are all one rule, repeated by doubling, and only the last NEAR are written out.
 */

import type { Rules } from "./rules.ts";

/** More characters than most tokens have; a longer token is only looked at again when it is its turn. */
const NEAR = 16;
/** What may stand in a JSON string as it is (RFC 8259, section 7). */
const PLAIN = '[^"\\\\\\x00-\\x1f]';
/** One code point each: halves of a surrogate pair are not written as escapes. */
const ESCAPE = '["\\\\/bfnrt] | "u" ( [0-9A-CE-Fa-ce-f] [0-9A-Fa-f] [0-9A-Fa-f] [0-9A-Fa-f] | ' +
  "[Dd] [0-7] [0-9A-Fa-f] [0-9A-Fa-f] )";
const QUOTE = '"\\""';

/**
 * Adds the rule of all strings of `least` to `most` characters, with their quotation marks.
 * @param most Infinity where there is no end
 * @returns the rule's name
 */
export function countedString(rules: Rules, least: number, most: number): string {
  const texts = most === Infinity ? [atLeast(rules, least)] : choices(rules, least, most);
  return rules.add(`string_${least}_${most}`, `${QUOTE} ( ${texts.join(" | ")} ) ${QUOTE}`);
}

function choices(rules: Rules, least: number, most: number): string[] {
  const texts: string[] = [];
  for (let count = least; count <= Math.min(most, NEAR - 1); count++) {
    texts.push(last(rules, count));
  }
  if (most < NEAR) return texts;
  const sure = Math.max(least, NEAR) - NEAR;
  return [...texts, `${exactly(rules, sure)} ${atMost(rules, most - NEAR - sure)}`];
}

/** One character, and what follows it. */
function character(rules: Rules, then = ""): string {
  rules.add("string_escape", ESCAPE);
  return `${PLAIN} ${then} | "\\\\" string_escape ${then}`;
}

/** The last `count` characters of a string, one rule for each. */
function last(rules: Rules, count: number): string {
  if (count === 0) return '""';
  return rules.define(`string_last_${count}`, () => {
    const rest = count > 1 ? last(rules, count - 1) : "";
    return `( ${character(rules, rest)} ) (= ${QUOTE})`;
  });
}

/** The rest of a string that has no end, of `least` characters or more. */
function atLeast(rules: Rules, least: number): string {
  const near = Math.min(least, NEAR);
  const rest = rules.define(`string_rest_${near}`, () => {
    if (near > 0) return character(rules, atLeast(rules, near - 1));
    return `"" | ${character(rules, "string_rest_0")}`;
  });
  return `${exactly(rules, least - near)} ${rest}`;
}

/** At most `count` far characters, and the last NEAR: as many of the largest power of two as there is room for. */
function atMost(rules: Rules, count: number): string {
  if (count === 0) return last(rules, NEAR);
  const half = 2 ** Math.floor(Math.log2(count));
  return rules.define(
    `string_far_${count}`,
    () => `${doubled(rules, half)} ${atMost(rules, count - half)} | ${atMost(rules, half - 1)}`,
  );
}

/** A sequence of `count` far characters. */
function exactly(rules: Rules, count: number): string {
  const parts = [];
  for (let size = 1, left = count; left > 0; size *= 2, left = Math.floor(left / 2)) {
    if (left % 2 === 1) parts.push(doubled(rules, size));
  }
  return parts.join(" ");
}

/** The rule of `size` far characters, which is a power of two. */
function doubled(rules: Rules, size: number): string {
  return rules.define(`string_${size}_far`, () => {
    if (size > 1) return `${doubled(rules, size / 2)} ${doubled(rules, size / 2)}`;
    // The compiler takes a rule into others where it begins them and refers to none, and an assertion for
    // all that it needs to know where the rule stands in one place, not last.
    rules.add("string_nothing", '"" | string_nothing');
    const next = Array.from({ length: NEAR }, () => last(rules, 1)).join(" ");
    const far = `( ${character(rules, "string_nothing")} ) (= ${next})`;
    return `${rules.add("string_far", far)} string_nothing`;
  });
}
