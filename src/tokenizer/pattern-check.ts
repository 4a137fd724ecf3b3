/**
 * Refuses regular expressions whose matching may take exponential time. The test is by shape, on the
 * safe side: a group that repeats without a small bound may hold neither a repetition nor a choice,
 * and there are no back-references and no lookbehind. Patterns of published BPE tokenizers pass.
 */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";

interface Group {
  /** Whether something inside repeats or offers a choice. */
  branches: boolean;
}

function refuse(where: string, problem: string): ArcticError {
  return new ArcticError(
    "tokenizer_pattern_refused",
    `${where} splits text by a regular expression ${problem}. Provide tokenizer.model instead.`,
  );
}

/** Index just after the character class that opens at `at`; classes may nest. */
function skipClass(pattern: string, at: number): number {
  let depth = 0;
  for (let i = at; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === "\\") i++;
    else if (char === "[") depth++;
    else if (char === "]" && --depth === 0) return i + 1;
  }
  return pattern.length;
}

interface Quantifier {
  readonly length: number;
  /** Whether it allows more than one. */
  readonly repeats: boolean;
  /** Whether it allows more than one number of times. */
  readonly varies: boolean;
}

function quantifier(pattern: string, at: number): Quantifier {
  const match = /^(?:[*+]|\?|\{(\d*)(,?)(\d*)\})[+?]?/.exec(pattern.slice(at, at + 32));
  if (!match) return { length: 0, repeats: false, varies: false };
  const text = match[0];
  const once = text.startsWith("?") || /^\{[01]?(?:,1)?\}/.test(text);
  const exact = match[1] !== undefined && match[2] === "";
  return { length: text.length, repeats: !once, varies: !exact };
}

/** @throws tokenizer_pattern_refused */
export function checkPattern(pattern: string, where: string): void {
  if (pattern.length > limits.patternCharacters) {
    throw refuse(where, `of more than ${limits.patternCharacters} characters`);
  }
  const stack: Group[] = [{ branches: false }];
  for (let at = 0; at < pattern.length;) {
    const char = pattern[at];
    let closed: Group | undefined;
    if (char === "(") {
      if (/^\(\?<[=!]/.test(pattern.slice(at, at + 4))) throw refuse(where, "that looks behind");
      stack.push({ branches: false });
      at += /^\(\?[=!:>]/.test(pattern.slice(at, at + 3)) ? 3 : 1;
      if (pattern[at] === "?") at++; // inline flags such as (?i: are read as plain characters
      continue;
    }
    if (char === ")") {
      closed = stack.pop();
      if (stack.length === 0) throw refuse(where, "with an unmatched parenthesis");
      at++;
    } else if (char === "|") {
      for (const group of stack) group.branches = true;
      at++;
      continue;
    } else if (char === "[") at = skipClass(pattern, at);
    else if (char === "\\") {
      if (/[1-9k]/.test(pattern[at + 1] ?? "")) throw refuse(where, "that refers back");
      at += 2;
      if (/^[pPxu]\{/.test(pattern.slice(at - 1, at + 1))) at = pattern.indexOf("}", at) + 1 || at;
    } else at++;
    const { length, repeats, varies } = quantifier(pattern, at);
    if (repeats && closed?.branches) throw refuse(where, "that may take exponential time");
    if (varies) { for (const group of stack) group.branches = true; }
    at += length;
  }
}
