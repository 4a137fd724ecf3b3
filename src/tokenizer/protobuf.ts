/**
 * A reader of protocol buffer messages that trusts nothing: it never allocates what a length field
 * asks for, never reads past its own slice, and knows no recursion.
 */

import { ArcticError } from "../errors.ts";

export const WireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const MAX_VARINT_BYTES = 10;

function malformed(where: string, offset: number, problem: string): ArcticError {
  return new ArcticError(
    "tokenizer_malformed",
    `${where} is damaged at byte ${offset}: ${problem}. Fetch the file again.`,
  );
}

/** Reads fields in file order: `while (reader.next()) switch (reader.field) …`. */
export class ProtobufReader {
  field = 0;
  wire = 0;
  #position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #where: string;
  readonly #base: number;

  /** @param base offset of `bytes` in the file, for error messages */
  constructor(bytes: Uint8Array, where: string, base = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#where = where;
    this.#base = base;
  }

  /** Bytes of the whole message. */
  get length(): number {
    return this.#bytes.length;
  }

  #fail(problem: string): ArcticError {
    return malformed(this.#where, this.#base + this.#position, problem);
  }

  /** Reads the next key into `field` and `wire`; false at the end. */
  next(): boolean {
    if (this.#position === this.#bytes.length) return false;
    const key = this.#varint();
    this.field = Math.floor(key / 8);
    this.wire = key % 8;
    if (this.field < 1 || this.field > 0x1fff_ffff) throw this.#fail("a field has no valid number");
    return true;
  }

  /** Exact up to 2^53; beyond that, as negative 32-bit values are stored, use `int32`. */
  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined) throw this.#fail("a number is cut off");
      this.#position++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw this.#fail("a number is longer than ten bytes");
  }

  #expect(wire: number): void {
    if (this.wire !== wire) {
      throw this.#fail(`field ${this.field} has wire type ${this.wire}, not ${wire}`);
    }
  }

  /** A varint as int32: negative values are stored as 64-bit two's complement. */
  int32(): number {
    this.#expect(WireType.varint);
    let low = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined) throw this.#fail("a number is cut off");
      this.#position++;
      if (i < 5) low |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return low | 0;
    }
    throw this.#fail("a number is longer than ten bytes");
  }

  bool(): boolean {
    return this.int32() !== 0;
  }

  float(): number {
    this.#expect(WireType.fixed32);
    if (this.#position + 4 > this.#bytes.length) throw this.#fail("a number is cut off");
    const value = this.#view.getFloat32(this.#position, true);
    this.#position += 4;
    return value;
  }

  /** A view of a length-delimited field; no copy. */
  bytes(): Uint8Array {
    this.#expect(WireType.bytes);
    const length = this.#varint();
    if (length > this.#bytes.length - this.#position) {
      throw this.#fail(`field ${this.field} says it has ${length} bytes, more than are left`);
    }
    const start = this.#position;
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  /** A reader of a nested message. */
  message(): ProtobufReader {
    const inner = this.bytes();
    return new ProtobufReader(inner, this.#where, this.#base + this.#position - inner.length);
  }

  /** @throws tokenizer_malformed unless the field is valid UTF-8 */
  string(): string {
    const bytes = this.bytes();
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.#fail(`field ${this.field} is not UTF-8`);
    }
  }

  /** Steps over a field of no interest. */
  skip(): void {
    if (this.wire === WireType.varint) this.#varint();
    else if (this.wire === WireType.bytes) this.bytes();
    else if (this.wire === WireType.fixed64 || this.wire === WireType.fixed32) {
      const width = this.wire === WireType.fixed64 ? 8 : 4;
      if (this.#position + width > this.#bytes.length) throw this.#fail("a number is cut off");
      this.#position += width;
    } else throw this.#fail(`wire type ${this.wire} is not known`);
  }
}
