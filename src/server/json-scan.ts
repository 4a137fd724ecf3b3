/**
 * A look at JSON before it is parsed: how deep it is nested and how much is in it. Parsing itself is
 * iterative, but what walks over its result is not, and a small body can become very many objects.
 */

import { limits } from "../limits.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * What is too much about the JSON in `bytes`, or undefined. It need not be well-formed. In UTF-8 no
 * byte of a longer character looks like one of the marks.
 */
export function jsonExcess(bytes: Uint8Array): string | undefined {
  let depth = 0;
  let members = 0;
  let commas = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case QUOTE:
        i = endOfString(bytes, i + 1);
        break;
      case COMMA:
        if (++commas > limits.requestJsonCommas) {
          return `has more than ${limits.requestJsonCommas} values`;
        }
        break;
      case COLON:
        if (++members > limits.requestJsonMembers) {
          return `has more than ${limits.requestJsonMembers} keys`;
        }
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > limits.requestJsonDepth) {
          return `is nested more than ${limits.requestJsonDepth} deep`;
        }
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
    }
  }
  return undefined;
}

/** Where the string whose content begins at `start` has its closing quote. */
function endOfString(bytes: Uint8Array, start: number): number {
  // The search runs in native code: a text of megabytes costs next to nothing.
  for (let from = start;;) {
    const quote = bytes.indexOf(QUOTE, from);
    if (quote < 0) return bytes.length;
    let escapes = 0;
    while (quote - escapes > from && bytes[quote - escapes - 1] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return quote;
    from = quote + 1;
  }
}
