import { Buffer } from "node:buffer";
import { limits } from "../limits.ts";
import { refuse } from "./refuse.ts";
import { countAt, Repetition } from "./repetition.ts";

type Fail = (what: string) => never;

/** Characters beyond ASCII, as they are or as their numbers. */
const BEYOND_ASCII = /[\u0080-\uffff]|\\x[89a-fA-F]|\\u(?!00[0-7])|\\U(?!000000[0-7])/;

/**
 * Refuses an EBNF text that is empty, too long, nested too deep, or whose repetitions multiply beyond
 * what can be compiled. Whether it is well-formed is the compiler's to say.
 * @throws ArcticError `request_bad_grammar`
 */
export function checkEbnf(text: string): void {
  if (text.trim() === "") refuse("Its text", "is empty");
  // A unit of UTF-16 is a byte at least: the length says enough about a huge text.
  const bytes = text.length > limits.grammarBytes ? text.length : Buffer.byteLength(text);
  if (bytes > limits.grammarBytes) {
    refuse("Its text", `has ${bytes} bytes: ${limits.grammarBytes} is the most`);
  }
  if (!text.isWellFormed()) refuse("Its text", "has half a surrogate pair");
  let line = 1;
  const fail: Fail = (what) => refuse(`Its text, near line ${line},`, what);
  const size = new Repetition(fail);
  let at = 0;
  while (at < text.length) {
    const length = step(text, at, size, fail);
    for (let i = at; i < at + length; i++) if (text[i] === "\n") line++;
    at += length;
  }
  size.end();
}

/** Counts what stands at `at` and returns its length. */
function step(text: string, at: number, size: Repetition, fail: Fail): number {
  const count = countAt(text, at);
  if (count !== undefined) {
    size.repeat(count.times);
    return count.length;
  }
  switch (text[at]) {
    case "(":
      size.open();
      return 1;
    case ")":
      size.close();
      return 1;
    case "#":
      return untilAfter(text, at, "\n");
    case '"':
      size.atom();
      return untilAfter(text, at, '"');
    case "[":
      size.atom();
      return setLength(text, at, fail);
    default: {
      const word = /^[A-Za-z_][\w.-]*/.exec(text.slice(at, at + 256))?.[0].length ?? 0;
      if (word > 0) size.atom();
      return Math.max(1, word);
    }
  }
}

/** The compiler takes a set with characters beyond ASCII for one of single bytes. */
function setLength(text: string, at: number, fail: Fail): number {
  const length = untilAfter(text, at, "]");
  if (BEYOND_ASCII.test(text.slice(at, at + length))) {
    fail('has a set with characters beyond ASCII. List them as alternatives: ("é" | "è")');
  }
  return length;
}

/** Length of what begins at `at` and ends with the next `end` that is not escaped, or with the text. */
function untilAfter(text: string, at: number, end: string): number {
  let i = at + 1;
  while (i < text.length && text[i] !== end) i += text[i] === "\\" && end !== "\n" ? 2 : 1;
  return Math.min(i + 1, text.length) - at;
}
