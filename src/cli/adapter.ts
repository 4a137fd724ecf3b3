/** The graphics adapter as `doctor` reports it. */

import { openGpu } from "../backend/gpu/index.ts";
import { ArcticError } from "../errors.ts";

export interface AdapterReport {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** The driver's own words. */
  readonly driver: string;
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  readonly features: readonly string[];
  /** The limits that decide what fits and how kernels are cut. */
  readonly limits: Readonly<Record<string, number>>;
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
  "minStorageBufferOffsetAlignment",
] as const;

/** Names of Vulkan drivers that need no graphics card. */
const SOFTWARE = /llvmpipe|lavapipe|swiftshader|basic render driver/i;

/** The adapter that `--backend gpu` would use, or the sentence that says why there is none. */
export async function inspectAdapter(): Promise<
  | { readonly adapter: AdapterReport; readonly error: null }
  | { readonly adapter: null; readonly error: string }
> {
  try {
    const gpu = await openGpu();
    try {
      const { vendor, architecture, device, description } = gpu.device.adapterInfo;
      const limits = Object.fromEntries(LIMITS.map((name) => [name, gpu.device.limits[name]]));
      return {
        adapter: {
          name: gpu.info.name,
          vendor,
          architecture,
          driver: description,
          software: SOFTWARE.test(`${gpu.info.name} ${device} ${description}`),
          features: [...gpu.device.features].sort(),
          limits,
        },
        error: null,
      };
    } finally {
      gpu.close();
    }
  } catch (error) {
    if (error instanceof ArcticError) return { adapter: null, error: error.message };
    throw error;
  }
}
