/**
 * What every op of the GPU backend works with: buffers, pipelines, and one stream of recorded
 * dispatches that is handed to the device in as few submissions as possible.
 */

import { assert } from "../../assert.ts";
import { ArcticError, errorCode } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { BindGroups } from "./bind-groups.ts";
import { type DeviceInfo, openDevice, type OpenOptions } from "./device.ts";
import type { Faults } from "./faults.ts";
import { Params } from "./params.ts";
import { type Pipeline, Pipelines } from "./pipelines.ts";
import { Readback } from "./readback.ts";
import { BufferUsage } from "./usage.ts";

export type { Pipeline } from "./pipelines.ts";

/** A range of a buffer as a kernel sees it. */
export interface Binding {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

export interface Gpu {
  readonly device: GPUDevice;
  readonly info: DeviceInfo;
  /** Lanes of a subgroup, or 0 when subgroups are not available or their size varies. */
  readonly subgroupSize: number;
  /** The most bytes one binding may have. */
  readonly bindingBytes: number;
  /** The most bytes one buffer may have. */
  readonly bufferBytes: number;
  /** Alignment of a binding's offset. */
  readonly bindingAlign: number;
  /** A zeroed storage buffer. @throws ArcticError `device_out_of_memory` */
  buffer(label: string, bytes: number): GPUBuffer;
  /** Writes into a buffer, after everything recorded so far and before everything recorded later. */
  upload(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void;
  /** Copies what the binding holds to another buffer, in order with everything recorded. */
  copy(from: Binding, to: GPUBuffer, offset: number): void;
  /** Resolves when all uploads and recorded work so far are done. */
  finished(): Promise<void>;
  /**
   * Compiled once for each kernel and constants; later calls return the same pipeline.
   * @param kernel file name in kernels/ without .wgsl
   * @throws ArcticError `device_kernel` naming the kernel and the line
   */
  pipeline(kernel: string, constants?: Readonly<Record<string, number>>): Pipeline;
  /** Whether kernels/ has a kernel of this name. */
  hasKernel(kernel: string): boolean;
  /** Records one dispatch. Binding i of group 0 is bindings[i]. */
  dispatch(
    pipeline: Pipeline,
    bindings: readonly Binding[],
    workgroups: readonly [number, number?, number?],
  ): void;
  /** Up to 64 u32 values as a uniform block, `array<vec4<u32>, ceil(n / 4)>`. */
  params(values: readonly number[]): Binding;
  /** Hands everything recorded to the device. */
  flush(): void;
  /**
   * Copies out what the binding holds after everything recorded so far. Submits at once; work that
   * is recorded while the read is pending is submitted as soon as the recording code awaits.
   * @throws ArcticError `device_…`: anything that went wrong on the device up to now
   */
  read(binding: Binding): Promise<ArrayBuffer>;
  close(): void;
}

/** The whole of a buffer as a binding. */
export function whole(buffer: GPUBuffer): Binding {
  return { buffer, offset: 0, size: buffer.size };
}

/** Opens a device. @throws ArcticError as openDevice does */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  const { device, info, faults, subgroupSize } = await openDevice(options);
  return new GpuContext(device, info, faults, subgroupSize);
}

class GpuContext implements Gpu {
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  readonly bindingAlign: number;
  readonly #pipelines: Pipelines;
  readonly #bindGroups: BindGroups;
  readonly #params: Params;
  readonly #readback: Readback;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #flushScheduled = false;
  #fence: GPUBuffer | null = null;
  #closed = false;

  constructor(
    readonly device: GPUDevice,
    readonly info: DeviceInfo,
    readonly faults: Faults,
    readonly subgroupSize: number,
  ) {
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    this.bindingBytes = Math.min(maxStorageBufferBindingSize, limits.bindingBytes);
    this.bufferBytes = maxBufferSize;
    this.bindingAlign = device.limits.minStorageBufferOffsetAlignment;
    this.#pipelines = new Pipelines(device, faults);
    this.#bindGroups = new BindGroups(device);
    this.#params = new Params(device, () => this.flush());
    this.#readback = new Readback(device, faults);
  }

  buffer(label: string, bytes: number): GPUBuffer {
    assert(Number.isSafeInteger(bytes) && bytes >= 0, `buffer ${label} of ${bytes} bytes`);
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    try {
      if (size > this.bufferBytes) throw new Error(`a buffer holds ${this.bufferBytes} at most`);
      return this.faults.capture(() => this.device.createBuffer({ label, size, usage }));
    } catch (cause) {
      const code = errorCode(cause);
      if (code !== undefined && code !== "device_out_of_memory") throw cause;
      throw new ArcticError(
        "device_out_of_memory",
        `The graphics device has no room for ${label}, ${size} bytes: ${String(cause)}. ` +
          "Use a smaller context, a device with more memory, or --backend cpu.",
        { cause },
      );
    }
  }

  upload(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    assert(data.byteLength % 4 === 0 && offset % 4 === 0, "uploads are whole words");
    if (data.byteLength === 0) return;
    // A step begins with one: a device that was lost since the last step has a queue no more.
    this.faults.check();
    this.flush();
    this.device.queue.writeBuffer(buffer, offset, data as ArrayBufferView<ArrayBuffer>);
  }

  copy(from: Binding, to: GPUBuffer, offset: number): void {
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from.buffer, from.offset, to, offset, from.size);
  }

  async finished(): Promise<void> {
    this.#fence ??= this.buffer("fence", 16);
    await this.read(whole(this.#fence));
  }

  pipeline(kernel: string, constants: Readonly<Record<string, number>> = {}): Pipeline {
    return this.#pipelines.get(kernel, constants);
  }

  hasKernel(kernel: string): boolean {
    return this.#pipelines.has(kernel);
  }

  dispatch(
    pipeline: Pipeline,
    bindings: readonly Binding[],
    workgroups: readonly [number, number?, number?],
  ): void {
    const [x, y = 1, z = 1] = workgroups;
    const most = limits.workgroupsPerDimension;
    assert(
      x <= most && y <= most && z <= most,
      `${pipeline.kernel}: ${x} x ${y} x ${z} workgroups`,
    );
    if (x === 0 || y === 0 || z === 0) return;
    const group = this.#bindGroups.get(pipeline, bindings);
    const pass = this.#openPass();
    pass.setPipeline(pipeline.compute);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y, z);
    if (this.#readback.pending > 0) this.#scheduleFlush();
  }

  params(values: readonly number[]): Binding {
    return this.#params.block(values);
  }

  flush(): void {
    const encoder = this.#encoder;
    if (encoder === null) return;
    this.#endPass();
    this.#encoder = null;
    const commands = encoder.finish();
    this.device.queue.submit([commands]);
    commands._destroy();
  }

  read(binding: Binding): Promise<ArrayBuffer> {
    if (this.#closed) {
      return Promise.reject(new ArcticError("device_lost", "The graphics device has been closed."));
    }
    try {
      this.faults.check();
      this.#endPass();
      this.#encoder ??= this.device.createCommandEncoder();
      const staging = this.#readback.copy(this.#encoder, binding);
      this.flush();
      return this.#readback.map(staging, binding.size);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endPass();
    this.#encoder = null;
    this.device.destroy();
  }

  #openPass(): GPUComputePassEncoder {
    this.#encoder ??= this.device.createCommandEncoder();
    this.#pass ??= this.#encoder.beginComputePass();
    return this.#pass;
  }

  #endPass(): void {
    if (this.#pass === null) return;
    this.#pass.end();
    releasePass(this.#pass);
    this.#pass = null;
  }

  /** While somebody waits, recorded work starts as soon as the code that records it pauses. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      if (!this.#closed) this.flush();
    });
  }
}

/** bun-webgpu never releases a pass encoder; left alone, each leaks for the life of the process. */
function releasePass(pass: GPUComputePassEncoder): void {
  const { lib } = pass as unknown as {
    lib?: { wgpuComputePassEncoderRelease?: (pointer: unknown) => void };
  };
  lib?.wgpuComputePassEncoderRelease?.(pass.ptr);
}
