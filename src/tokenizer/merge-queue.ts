/**
 * A binary min-heap of (key, size) pairs in typed arrays: a million-character prompt queues millions
 * of candidates, and an object each would cost more than the merging.
 */

import { assert } from "../assert.ts";

const INITIAL_CAPACITY = 256;

export class MergeQueue {
  #keys = new Float64Array(INITIAL_CAPACITY);
  #sizes = new Int32Array(INITIAL_CAPACITY);
  #count = 0;
  /** The pair that `pop` took out. */
  key = 0;
  size = 0;

  clear(): void {
    this.#count = 0;
    if (this.#keys.length > INITIAL_CAPACITY * 256) {
      this.#keys = new Float64Array(INITIAL_CAPACITY);
      this.#sizes = new Int32Array(INITIAL_CAPACITY);
    }
  }

  push(key: number, size: number): void {
    if (this.#count === this.#keys.length) this.#grow();
    const keys = this.#keys;
    const sizes = this.#sizes;
    let at = this.#count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const parentKey = keys[parent] as number;
      if (parentKey <= key) break;
      keys[at] = parentKey;
      sizes[at] = sizes[parent] as number;
      at = parent;
    }
    keys[at] = key;
    sizes[at] = size;
  }

  /** Takes the smallest key into `key` and `size`; false when the queue is empty. */
  pop(): boolean {
    if (this.#count === 0) return false;
    const keys = this.#keys;
    const sizes = this.#sizes;
    this.key = keys[0] as number;
    this.size = sizes[0] as number;
    const count = --this.#count;
    const key = keys[count] as number;
    const size = sizes[count] as number;
    let at = 0;
    for (let child = 1; child < count; child = 2 * at + 1) {
      if (child + 1 < count && (keys[child + 1] as number) < (keys[child] as number)) child++;
      if ((keys[child] as number) >= key) break;
      keys[at] = keys[child] as number;
      sizes[at] = sizes[child] as number;
      at = child;
    }
    keys[at] = key;
    sizes[at] = size;
    return true;
  }

  #grow(): void {
    assert(this.#count < 2 ** 28, "a merge queue grew beyond any prompt");
    const keys = new Float64Array(2 * this.#count);
    const sizes = new Int32Array(2 * this.#count);
    keys.set(this.#keys);
    sizes.set(this.#sizes);
    this.#keys = keys;
    this.#sizes = sizes;
  }
}
