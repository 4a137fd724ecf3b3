/** Bind groups by pipeline and bindings: making one costs more than the dispatch that uses it. */

import { limits } from "../../limits.ts";
import type { Binding } from "./context.ts";
import type { Pipeline } from "./pipelines.ts";

export class BindGroups {
  readonly #device: GPUDevice;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #bufferIds = new WeakMap<GPUBuffer, number>();
  #nextBufferId = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get(pipeline: Pipeline, bindings: readonly Binding[]): GPUBindGroup {
    let key = `${pipeline.id}`;
    for (const { buffer, offset, size } of bindings) {
      key += `|${this.#bufferId(buffer)},${offset},${size}`;
    }
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    if (this.#groups.size >= limits.gpuBindGroups) this.#clear();
    const group = this.#device.createBindGroup({
      layout: pipeline.layout,
      entries: bindings.map((resource, binding) => ({ binding, resource })),
    });
    this.#groups.set(key, group);
    return group;
  }

  /** Recorded and submitted work keeps its own references, so this is safe at any time. */
  #clear(): void {
    for (const group of this.#groups.values()) group.destroy();
    this.#groups.clear();
  }

  #bufferId(buffer: GPUBuffer): number {
    const known = this.#bufferIds.get(buffer);
    if (known !== undefined) return known;
    const id = this.#nextBufferId++;
    this.#bufferIds.set(buffer, id);
    return id;
  }
}
