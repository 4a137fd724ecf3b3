/**
 * Looks a MessagePack document over before a decoder sees it: only plain values, text keys, bounded
 * depth, no count beyond the bytes that are there, nothing after the end. Extension types, which make
 * decoders build classes or definitions, are refused.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";

/** Bytes after the type byte of the fixed-size types. */
const FIXED: Readonly<Record<number, number>> = {
  0xc0: 0, // nil
  0xc2: 0, // false
  0xc3: 0, // true
  0xca: 4, // float 32
  0xcb: 8, // float 64
  0xcc: 1, // uint 8 … 64
  0xcd: 2,
  0xce: 4,
  0xcf: 8,
  0xd0: 1, // int 8 … 64
  0xd1: 2,
  0xd2: 4,
  0xd3: 8,
};

class Walker {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array, private readonly what: string) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(problem: string): never {
    throw new ArcticError(
      "weights_manifest_invalid",
      `${this.what} is damaged: ${problem} at byte ${this.at}. Copy or convert the model again.`,
    );
  }

  document(): void {
    this.value(0);
    if (this.at < this.bytes.length) this.fail("bytes after the end of the document");
  }

  private take(count: number): void {
    if (this.bytes.length - this.at < count) this.fail("a value that reaches past the end");
    this.at += count;
  }

  private length(width: 1 | 2 | 4): number {
    const at = this.at;
    this.take(width);
    if (width === 1) return this.view.getUint8(at);
    return width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  private value(depth: number): void {
    if (depth > limits.jsonDepth) this.fail(`nesting deeper than ${limits.jsonDepth} levels`);
    const type = this.length(1);
    if (type <= 0x7f || type >= 0xe0) return;
    if (type <= 0x8f) return this.map(type & 15, depth);
    if (type <= 0x9f) return this.array(type & 15, depth);
    if (type <= 0xbf) return this.take(type & 31);
    if (type >= 0xd9 && type <= 0xdb) return this.take(this.length(this.width(type - 0xd9)));
    if (type === 0xdc || type === 0xdd) {
      return this.array(this.length(type === 0xdc ? 2 : 4), depth);
    }
    if (type === 0xde || type === 0xdf) return this.map(this.length(type === 0xde ? 2 : 4), depth);
    const bytes = FIXED[type];
    if (bytes === undefined) {
      this.at--;
      this.fail(`the type 0x${type.toString(16)}, which a manifest does not use,`);
    }
    this.take(bytes);
  }

  private width(index: number): 1 | 2 | 4 {
    return index === 0 ? 1 : index === 1 ? 2 : 4;
  }

  private array(count: number, depth: number): void {
    if (count > this.bytes.length - this.at) this.fail("a list longer than the document");
    for (let i = 0; i < count; i++) this.value(depth + 1);
  }

  private map(count: number, depth: number): void {
    if (count * 2 > this.bytes.length - this.at) this.fail("a map longer than the document");
    for (let i = 0; i < count; i++) {
      const type = this.bytes[this.at] ?? 0;
      const text = (type >= 0xa0 && type <= 0xbf) || (type >= 0xd9 && type <= 0xdb);
      if (!text) this.fail("a map key that is no text");
      this.value(depth + 1);
      this.value(depth + 1);
    }
  }
}

/** @throws ArcticError `weights_manifest_invalid` with the byte that is out of place */
export function guardMsgpack(bytes: Uint8Array, what: string): void {
  new Walker(bytes, what).document();
}
