import { limits } from "../limits.ts";
import { quoted, refuse } from "./refuse.ts";
import { countAt, Repetition } from "./repetition.ts";

/** Escapes that a grammar cannot follow, and what they are called. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  b: "a word boundary",
  B: "a word boundary",
  p: "a Unicode property",
  P: "a Unicode property",
  k: "a backreference",
};

/**
 * Refuses a regular expression (ECMA 262, as JSON Schema has it) that cannot be a grammar: malformed, too
 * large, or with parts that look around or back.
 * @param place of the pattern in the schema
 * @throws ArcticError `request_bad_grammar`
 */
export function checkPattern(pattern: string, place: string): void {
  const fail = (what: string): never => refuse(`The pattern at ${place}`, what);
  if (pattern.length > limits.patternCharacters) {
    fail(`has ${pattern.length} characters: ${limits.patternCharacters} is the most`);
  }
  try {
    new RegExp(pattern, "u");
  } catch {
    fail(`is not a regular expression (it is read with the "u" flag): ${quoted(pattern)}`);
  }
  const size = new Repetition(fail);
  let at = 0;
  while (at < pattern.length) at += step(pattern, at, size, fail);
  size.end();
}

/** Counts what stands at `at` and returns its length. */
function step(text: string, at: number, size: Repetition, fail: (what: string) => never): number {
  const count = countAt(text, at);
  if (count !== undefined) {
    size.repeat(count.times);
    return count.length;
  }
  switch (text[at]) {
    case "(":
      size.open();
      return groupStart(text, at, fail);
    case ")":
      size.close();
      return 1;
    case "[":
      size.atom();
      return classLength(text, at);
    case "\\":
      size.atom();
      return escapeLength(text, at, fail);
    case "*":
    case "+":
    case "?":
    case "|":
    case "^":
    case "$":
      return 1;
    default:
      size.atom();
      return 1;
  }
}

function groupStart(text: string, at: number, fail: (what: string) => never): number {
  if (text[at + 1] !== "?") return 1;
  if (text.startsWith("(?:", at)) return 3;
  const name = /^\(\?<[A-Za-z_]\w*>/.exec(text.slice(at, at + 64));
  if (name !== null) return name[0].length;
  return fail("has a group that looks ahead or behind or sets flags, which cannot be followed");
}

function classLength(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text[end] !== "]") end += text[end] === "\\" ? 2 : 1;
  return end + 1 - at;
}

function escapeLength(text: string, at: number, fail: (what: string) => never): number {
  const letter = text[at + 1] ?? "";
  const name = /[1-9]/.test(letter) ? "a backreference" : UNSUPPORTED[letter];
  if (name !== undefined) fail(`has ${name}, which cannot be followed`);
  if (letter === "u") return text[at + 2] === "{" ? text.indexOf("}", at) + 1 - at : 6;
  if (letter === "x") return 4;
  return letter === "c" ? 3 : 2;
}
