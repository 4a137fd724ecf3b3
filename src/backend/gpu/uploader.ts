/** Moves weights from the model's files to the device, a window at a time. */

import { assert } from "../../assert.ts";
import { limits } from "../../limits.ts";
import type { WeightSource } from "../../model/backend.ts";
import type { Gpu } from "./context.ts";

export class Uploader {
  readonly #gpu: Gpu;
  readonly #source: WeightSource;
  #inFlight = 0;
  #total = 0;

  constructor(gpu: Gpu, source: WeightSource) {
    this.#gpu = gpu;
    this.#source = source;
  }

  /** Bytes of weights moved so far. */
  get total(): number {
    return this.#total;
  }

  /**
   * Copies a range of a shard into a buffer. Resolves when the bytes are the device's; the queue
   * holds `limits.uploadBytesInFlight` of them at most.
   *
   * @param at where in the buffer, a multiple of 4; bytes past the end of the range up to a multiple
   *   of 4 become zero
   */
  async copy(
    buffer: GPUBuffer,
    at: number,
    shard: number,
    offset: number,
    bytes: number,
  ): Promise<void> {
    assert(at + bytes <= buffer.size, `${bytes} bytes at ${at} of ${buffer.size}`);
    for (let done = 0; done < bytes;) {
      const window = Math.min(limits.uploadWindowBytes, bytes - done);
      if (this.#inFlight + window > limits.uploadBytesInFlight) {
        await this.#gpu.finished();
        this.#inFlight = 0;
      }
      this.#source.withBytes(shard, offset + done, window, (data) => {
        this.#gpu.upload(buffer, at + done, wholeWords(data));
      });
      this.#inFlight += window;
      this.#total += window;
      done += window;
    }
  }
}

function wholeWords(data: Uint8Array): Uint8Array {
  if (data.byteLength % 4 === 0) return data;
  const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  padded.set(data);
  return padded;
}
