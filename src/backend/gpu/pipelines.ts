/** Compute pipelines, compiled on first use from the WGSL text that the binary carries. */

import { ArcticError, errorCode } from "../../errors.ts";
import { kernels } from "../../embedded.ts";
import type { Faults } from "./faults.ts";

export interface Pipeline {
  /** Unique among the pipelines of a device. */
  readonly id: number;
  readonly kernel: string;
  readonly compute: GPUComputePipeline;
  /** Layout of group 0. */
  readonly layout: GPUBindGroupLayout;
}

/** The first line of a kernel that uses files of kernels/lib. */
const USES = /^\/\/ use: ([\w -]+)\n/;

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #faults: Faults;
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #pipelines = new Map<string, Pipeline>();

  constructor(device: GPUDevice, faults: Faults) {
    this.#device = device;
    this.#faults = faults;
  }

  has(kernel: string): boolean {
    return Object.hasOwn(kernels, kernel);
  }

  get(kernel: string, constants: Readonly<Record<string, number>>): Pipeline {
    let key = kernel;
    for (const name in constants) key += `|${name}=${constants[name]}`;
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    try {
      const compute = this.#faults.capture(() =>
        this.#device.createComputePipeline({
          label: kernel,
          layout: "auto",
          compute: {
            module: this.#module(kernel),
            entryPoint: "main",
            constants: { ...constants },
          },
        })
      );
      const layout = compute.getBindGroupLayout(0);
      const pipeline = { id: this.#pipelines.size, kernel, compute, layout };
      this.#pipelines.set(key, pipeline);
      return pipeline;
    } catch (cause) {
      this.#modules.delete(kernel);
      throw errorCode(cause) === "device_lost" ? cause : kernelError(kernel, cause);
    }
  }

  #module(kernel: string): GPUShaderModule {
    const known = this.#modules.get(kernel);
    if (known !== undefined) return known;
    const code = kernelSource(kernel);
    const module = this.#device.createShaderModule({ label: kernel, code });
    this.#modules.set(kernel, module);
    return module;
  }
}

/**
 * WGSL text of a kernel, with the files of kernels/lib that it asks for: after its `enable` lines,
 * because WGSL wants those first.
 */
export function kernelSource(kernel: string): string {
  const text = kernels[kernel];
  if (text === undefined) throw new Error(`there is no kernels/${kernel}.wgsl`);
  const uses = USES.exec(text);
  if (uses === null) return text;
  const libraries = uses[1]!.split(" ").map((name) => {
    const library = kernels[`lib/${name}`];
    if (library === undefined) throw new Error(`there is no kernels/lib/${name}.wgsl`);
    return library;
  });
  const body = text.slice(uses[0].length);
  const enables = /^(?:enable [^;]*;\s*)*/.exec(body)?.[0] ?? "";
  return enables + libraries.join("\n") + body.slice(enables.length);
}

function kernelError(kernel: string, cause: unknown): ArcticError {
  return new ArcticError(
    "device_kernel",
    `The kernel ${kernel} does not compile on this device: ` +
      (cause instanceof Error ? cause.message : String(cause)),
    { cause },
  );
}
