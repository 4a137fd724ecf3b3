/** Reads results back through mappable staging buffers, which are kept and used again. */

import { errorCode } from "../../errors.ts";
import type { Binding } from "./context.ts";
import { type Faults, lostError } from "./faults.ts";
import { BufferUsage, MAP_READ } from "./usage.ts";

export class Readback {
  readonly #device: GPUDevice;
  readonly #faults: Faults;
  readonly #free = new Map<number, GPUBuffer[]>();
  #pending = 0;

  constructor(device: GPUDevice, faults: Faults) {
    this.#device = device;
    this.#faults = faults;
  }

  /** Reads that have not resolved. */
  get pending(): number {
    return this.#pending;
  }

  /** Records a copy of the binding into a staging buffer. */
  copy(encoder: GPUCommandEncoder, binding: Binding): GPUBuffer {
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, binding.size)));
    const staging = this.#free.get(size)?.pop() ?? this.#device.createBuffer({
      label: "readback",
      size,
      usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(binding.buffer, binding.offset, staging, 0, binding.size);
    return staging;
  }

  /** The first `bytes` of a staging buffer, once the submitted copy into it is done. */
  async map(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    this.#pending++;
    try {
      await this.#faults.race(staging.mapAsync(MAP_READ, 0, bytes));
      this.#faults.check();
      const copy = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      const free = this.#free.get(staging.size);
      if (free === undefined) this.#free.set(staging.size, [staging]);
      else free.push(staging);
      return copy;
    } catch (error) {
      staging.destroy();
      if (errorCode(error) !== undefined) throw error;
      // Dawn rejects the mapping just before it reports why.
      this.#faults.check();
      throw lostError("read failed", String(error));
    } finally {
      this.#pending--;
    }
  }
}
