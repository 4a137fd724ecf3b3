/**
 * Small uniform blocks for dispatches. Equal contents share a block, so a parameter set that comes
 * back (the same shapes, token after token) costs neither an upload nor a new bind group.
 */

import { assert } from "../../assert.ts";
import { limits } from "../../limits.ts";
import type { Binding } from "./context.ts";
import { BufferUsage } from "./usage.ts";

/** minUniformBufferOffsetAlignment is at most this on any device. */
const BLOCK_BYTES = 256;

export class Params {
  readonly #device: GPUDevice;
  readonly #flush: () => void;
  readonly #buffer: GPUBuffer;
  readonly #known = new Map<string, Binding>();
  #used = 0;

  /** @param flush submits recorded work, before blocks that it may use are written over */
  constructor(device: GPUDevice, flush: () => void) {
    this.#device = device;
    this.#flush = flush;
    this.#buffer = device.createBuffer({
      label: "params",
      size: limits.gpuParamBlocks * BLOCK_BYTES,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    });
  }

  /** The values as u32, padded with zeros to whole vec4s. */
  block(values: readonly number[]): Binding {
    assert(values.length > 0 && values.length * 4 <= BLOCK_BYTES, "params hold 1 to 64 values");
    const key = values.join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#used === limits.gpuParamBlocks) {
      this.#flush();
      this.#known.clear();
      this.#used = 0;
    }
    const words = new Uint32Array(Math.ceil(values.length / 4) * 4);
    words.set(values);
    const block = {
      buffer: this.#buffer,
      offset: this.#used++ * BLOCK_BYTES,
      size: words.byteLength,
    };
    this.#device.queue.writeBuffer(block.buffer, block.offset, words);
    this.#known.set(key, block);
    return block;
  }
}
