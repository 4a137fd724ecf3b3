/** The events of a stream that can still be asked for, and how many bytes they take. */

import { limits } from "../../limits.ts";
import type { NumberedItem } from "./stream-item.ts";

const utf8 = new TextEncoder();

export class KeptEvents {
  /** Events #first, #first + 1, …; chunks as JSON, whose bytes are what they take. */
  readonly #items: NumberedItem[] = [];
  #first = 1;
  #bytes = 0;

  /** The number of the oldest; one more than `last` where none is kept. */
  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#first + this.#items.length - 1;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps `item` as the event after the last. Returns the bytes that it takes. */
  push(item: NumberedItem): number {
    const kept: NumberedItem = item.type === "chunk"
      ? { type: "json", bytes: utf8.encode(JSON.stringify(item.value)) }
      : item;
    this.#items.push(kept);
    const size = sizeOf(kept);
    this.#bytes += size;
    return size;
  }

  at(number: number): NumberedItem | undefined {
    return this.#items[number - this.#first];
  }

  /** The bytes that event `number` takes; 0 where it is not kept. */
  size(number: number): number {
    const item = this.at(number);
    return item ? sizeOf(item) : 0;
  }

  /** Drops the oldest, but none after `upTo`, until `bytes` are left. Returns the bytes it freed. */
  trim(bytes: number, upTo: number): number {
    let freed = 0;
    let count = 0;
    while (this.#bytes - freed > bytes && this.#first + count <= upTo) {
      freed += this.size(this.#first + count++);
    }
    this.#items.splice(0, count);
    this.#first += count;
    this.#bytes -= freed;
    return freed;
  }
}

function sizeOf(item: NumberedItem): number {
  return limits.resumeEventBytes + (item.type === "json" ? item.bytes.length : 0);
}
