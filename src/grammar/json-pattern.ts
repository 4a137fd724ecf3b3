/**
 * Regular expressions as the compiler is to see them. It matches a pattern against the JSON text of a
 * string, where a quotation mark, a backslash and control characters are escaped. So literal ones are
 * written as their escapes, and sets of characters lose them: what is left of a pattern admits fewer
 * texts, all of which are JSON and match the pattern.
 */

import { defined } from "../assert.ts";
import { refuse } from "./refuse.ts";
import { countAt } from "./repetition.ts";

const LAST_ASCII = 0x7f;

/** First and last code point. */
type Range = readonly [number, number];

const ESCAPED_IN_JSON: readonly Range[] = [[0x00, 0x1f], [0x22, 0x22], [0x5c, 0x5c]];
const DIGIT: readonly Range[] = [[0x30, 0x39]];
const WORD: readonly Range[] = [...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
/** The white space that stands in JSON as it is, and is one byte. */
const SPACE: readonly Range[] = [[0x20, 0x20]];
const SETS: Readonly<Record<string, readonly Range[]>> = { d: DIGIT, w: WORD, s: SPACE };
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0, b: 8 };

interface Part {
  readonly length: number;
  readonly text: string;
}

/**
 * @param pattern one that `checkPattern` has passed
 * @throws ArcticError `request_bad_grammar` for a set of which nothing is left
 */
export function jsonPattern(pattern: string, place: string): string {
  let text = "";
  let at = 0;
  while (at < pattern.length) {
    const part = partAt(pattern, at, place);
    text += part.text;
    at += part.length;
  }
  return text;
}

function partAt(pattern: string, at: number, place: string): Part {
  const count = countAt(pattern, at);
  if (count !== undefined) {
    return quantifier(pattern, at, pattern.slice(at, at + count.length));
  }
  const char = String.fromCodePoint(defined(pattern.codePointAt(at), "a character"));
  switch (char) {
    case "(": {
      const head = /^\((?:\?(?::|<\w+>))?/.exec(pattern.slice(at, at + 64))?.[0] ?? "(";
      return { length: head.length, text: "(" };
    }
    case ")":
    case "|":
    case "^":
    case "$":
      return { length: 1, text: char };
    case "*":
    case "+":
    case "?":
      return quantifier(pattern, at, char);
    case ".":
      return { length: 1, text: outside([]) };
    case "[":
      return setAt(pattern, at, place);
    case "\\": {
      const escape = escapeAt(pattern, at);
      return { length: escape.length, text: escape.text ?? literal(escape.point) };
    }
    default:
      return { length: char.length, text: literal(char.codePointAt(0) ?? 0) };
  }
}

/** Lazy quantifiers admit the same texts as greedy ones. */
function quantifier(pattern: string, at: number, text: string): Part {
  return { length: text.length + (pattern[at + text.length] === "?" ? 1 : 0), text };
}

type Escape =
  & { readonly length: number }
  & ({ readonly text: string; readonly set: readonly Range[] | undefined } | {
    readonly text?: undefined;
    readonly set?: undefined;
    readonly point: number;
  });

function escapeAt(pattern: string, at: number): Escape {
  const letter = pattern[at + 1] ?? "";
  const set = SETS[letter.toLowerCase()];
  if (set !== undefined) {
    const isInside = letter === letter.toLowerCase();
    const text = isInside ? inside(set) : outside(set);
    return { length: 2, text, set: isInside ? set : undefined };
  }
  const code = /^\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|u\{([0-9a-f]{1,6})\})/i
    .exec(pattern.slice(at, at + 12));
  if (code !== null) {
    const digits = code[1] ?? code[2] ?? code[3] ?? "0";
    return { length: code[0].length, point: Number.parseInt(digits, 16) };
  }
  if (letter === "c") return { length: 3, point: pattern.charCodeAt(at + 2) % 32 };
  return { length: 2, point: CONTROLS[letter] ?? letter.charCodeAt(0) };
}

/** `[…]`, which has been found well-formed. */
function setAt(pattern: string, at: number, place: string): Part {
  const negated = pattern[at + 1] === "^";
  const ranges: Range[] = [];
  let i = at + (negated ? 2 : 1);
  const next = (): Range | readonly Range[] => {
    if (pattern[i] !== "\\") {
      const point = defined(pattern.codePointAt(i), "a character of a set");
      i += point > 0xffff ? 2 : 1;
      return [point, point];
    }
    const escape = escapeAt(pattern, i);
    i += escape.length;
    if (escape.text === undefined) return [escape.point, escape.point];
    return escape.set ?? refuse(place, "has \\D, \\S or \\W in a set, which cannot be followed");
  };
  while (pattern[i] !== "]") {
    const first = next();
    if (isMany(first)) {
      ranges.push(...first);
    } else if (pattern[i] === "-" && pattern[i + 1] !== "]") {
      i++;
      const last = next();
      ranges.push(isMany(last) ? refuse(place, "has a range that is none") : [first[0], last[1]]);
    } else {
      ranges.push(first);
    }
  }
  if (ranges.some(([, last]) => last > LAST_ASCII)) {
    // The compiler takes such a set for one of single bytes.
    refuse(place, "has a set with characters beyond ASCII. List them as alternatives: (é|è)");
  }
  const text = negated ? outside(ranges) : inside(ranges);
  if (text === "") refuse(place, "has a set of characters that JSON cannot hold as they are");
  return { length: i + 1 - at, text };
}

function isMany(value: Range | readonly Range[]): value is readonly Range[] {
  return typeof value[0] !== "number";
}

/** A set without what JSON escapes; empty when nothing is left. */
function inside(ranges: readonly Range[]): string {
  const left = without(ranges, ESCAPED_IN_JSON);
  return left.length === 0 ? "" : `[${left.map(written).join("")}]`;
}

function outside(ranges: readonly Range[]): string {
  return `[^${[...ESCAPED_IN_JSON, ...ranges].map(written).join("")}]`;
}

function without(ranges: readonly Range[], excluded: readonly Range[]): readonly Range[] {
  let left = ranges;
  for (const [from, to] of excluded) {
    left = left.flatMap(([first, last]): Range[] => [
      [first, Math.min(last, from - 1)],
      [Math.max(first, to + 1), last],
    ]).filter(([first, last]) => first <= last);
  }
  return left;
}

function written([first, last]: Range): string {
  return first === last ? inSet(first) : `${inSet(first)}-${inSet(last)}`;
}

function inSet(point: number): string {
  const char = String.fromCodePoint(point);
  // Always four digits: the compiler reads on after \x41 where a letter of a to f follows.
  return /[A-Za-z0-9 ]/.test(char) ? char : `\\u${point.toString(16).padStart(4, "0")}`;
}

/** A character as JSON writes it. */
function literal(point: number): string {
  const char = String.fromCodePoint(point);
  const json = JSON.stringify(char).slice(1, -1);
  // The compiler warns of escapes that are none of its own.
  if (json === char) return /[$()*+.?[\]^{|}/-]/.test(char) ? `\\${char}` : char;
  return `(${json.replaceAll("\\", "\\\\")})`;
}
