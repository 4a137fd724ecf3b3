/**
 * JSON for untrusted files (RFC 8259), stricter than JSON.parse: a repeated key, a number that is no
 * finite double, invalid UTF-8, a byte-order mark and deep nesting are errors, each with the byte
 * where it was found. Objects become Maps, so no key is special.
 */

import { Buffer } from "node:buffer";
import { ArcticError } from "../src/errors.ts";
import type { ErrorCode } from "../src/errors.ts";
import { limits } from "../src/limits.ts";

/** A number keeps its text: 2^64 must not become a rounded double before it has been judged. */
export class JsonNumber {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | string | JsonNumber | Json[] | Map<string, Json>;

export interface JsonContext {
  /** What is read, for messages: a path, or "The header of …". */
  readonly what: string;
  readonly code: ErrorCode;
  /** Added to positions in messages: where the text starts in its file. */
  readonly base?: number;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Scanner {
  private at = 0;

  constructor(private readonly text: string, private readonly context: JsonContext) {}

  fail(problem: string): never {
    const before = Buffer.byteLength(this.text.slice(0, this.at));
    const where = before + (this.context.base ?? 0);
    throw new ArcticError(
      this.context.code,
      `${this.context.what} is not valid JSON: ${problem} at byte ${where}. ` +
        "The file is damaged or is not what its name says; fetch it again.",
    );
  }

  document(): Json {
    this.space();
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail("text after the end of the document");
    return value;
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.at++;
    }
  }

  private value(depth: number): Json {
    if (depth > limits.jsonDepth) this.fail(`nesting deeper than ${limits.jsonDepth} levels`);
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.array(depth);
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail("an unknown word");
    this.at += word.length;
    return value;
  }

  private number(): JsonNumber {
    if (this.at >= this.text.length) this.fail("the document ends in the middle of a value");
    NUMBER.lastIndex = this.at;
    const text = NUMBER.exec(this.text)?.[0];
    if (text === undefined) this.fail("a value was expected, but found something else");
    if (!Number.isFinite(Number(text))) this.fail("a number beyond what a double can hold");
    this.at += text.length;
    return new JsonNumber(text);
  }

  private object(depth: number): Map<string, Json> {
    const map = new Map<string, Json>();
    this.at++;
    this.space();
    if (this.text[this.at] === "}") {
      this.at++;
      return map;
    }
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail("a key was expected, but found something else");
      const start = this.at;
      const key = this.string();
      if (map.has(key)) {
        this.at = start;
        this.fail(`the key ${quote(key)} a second time`);
      }
      this.space();
      if (this.text[this.at] !== ":") this.fail("a colon was expected, but found something else");
      this.at++;
      this.space();
      map.set(key, this.value(depth + 1));
      this.space();
      const c = this.text[this.at];
      if (c !== "," && c !== "}") {
        this.fail("a comma or brace was expected, but found something else");
      }
      this.at++;
      if (c === "}") return map;
    }
  }

  private array(depth: number): Json[] {
    const items: Json[] = [];
    this.at++;
    this.space();
    if (this.text[this.at] === "]") {
      this.at++;
      return items;
    }
    for (;;) {
      this.space();
      items.push(this.value(depth + 1));
      this.space();
      const c = this.text[this.at];
      if (c !== "," && c !== "]") {
        this.fail("a comma or bracket was expected, but found something else");
      }
      this.at++;
      if (c === "]") return items;
    }
  }

  private string(): string {
    let out = "";
    let from = ++this.at;
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (Number.isNaN(c)) this.fail("the document ends in the middle of a string");
      if (c < 0x20) this.fail("a control character in a string");
      if (c === 0x22) {
        out += this.text.slice(from, this.at++);
        return out;
      }
      if (c === 0x5c) {
        out += this.text.slice(from, this.at) + this.escape();
        from = this.at;
      } else {
        this.at++;
      }
    }
  }

  private escape(): string {
    const c = this.text[this.at + 1] ?? "";
    if (c === "u") {
      const hex = this.text.slice(this.at + 2, this.at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.fail("a bad \\u escape");
      this.at += 6;
      return String.fromCharCode(parseInt(hex, 16));
    }
    const simple = Object.hasOwn(SIMPLE_ESCAPES, c) ? SIMPLE_ESCAPES[c] : undefined;
    if (simple === undefined) this.fail("a bad escape");
    this.at += 2;
    return simple;
  }
}

/** A string for a message: quoted, control characters escaped, cut at 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** Reads one JSON document. @throws ArcticError with `context.code` */
export function parseJson(bytes: Uint8Array, context: JsonContext): Json {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const at = firstInvalidUtf8(bytes) + (context.base ?? 0);
    throw new ArcticError(
      context.code,
      `${context.what} is not UTF-8 text: byte ${at} is out of place. ` +
        "The file is damaged or is not what its name says; fetch it again.",
      { cause },
    );
  }
  return new Scanner(text, context).document();
}

/** Bytes of the longest prefix that is valid, an unfinished character at its end allowed. */
function firstInvalidUtf8(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good;
}

/**
 * The same document as plain values, for code that expects what JSON.parse returns.
 * @throws ArcticError `config_bad_key` for the key `__proto__`, which plain objects cannot carry safely
 */
export function toPlain(json: Json): unknown {
  if (json instanceof JsonNumber) return Number(json.text);
  if (Array.isArray(json)) return json.map(toPlain);
  if (!(json instanceof Map)) return json;
  if (json.has("__proto__")) {
    throw new ArcticError(
      "config_bad_key",
      'A configuration has the key "__proto__", which means nothing to arctic. Remove it.',
    );
  }
  return Object.fromEntries([...json].map(([key, value]) => [key, toPlain(value)]));
}
