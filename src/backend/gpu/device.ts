/**
 * The one place that knows bun-webgpu: finds an adapter, opens a device, and turns what Dawn only
 * prints or reports by callback into typed errors.
 */

import process from "node:process";
import { ArcticError } from "../../errors.ts";
import { Faults, lostError, reportedError } from "./faults.ts";
import { nativeLibraryPath } from "./native-library.ts";
import { pace } from "./pace.ts";

export interface DeviceInfo {
  readonly name: string;
  readonly vendor: string;
  /** Whether the device is the machine's own processor. */
  readonly software: boolean;
  /** Whether it loads a value that is the same for all lanes once, in loops as well. */
  readonly uniformLoads: boolean;
}

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly info: DeviceInfo;
  readonly faults: Faults;
  /** Lanes of every subgroup, or 0 where subgroups are missing or their size varies. */
  readonly subgroupSize: number;
}

export interface OpenOptions {
  /** Whether kernels may use subgroups where the device has them; tests turn it off. */
  readonly subgroups?: boolean;
}

/** The first Mesa whose software adapter has `uniformLoads`: 25.0 has not, 26.2 has. */
const MESA_UNIFORM_LOADS = 26;

/** WGPUAdapterType_CPU, which bun-webgpu passes on as it is. */
const ADAPTER_TYPE_CPU = 3;

const INSTALL =
  "Install a Vulkan driver (on Debian or Ubuntu: mesa-vulkan-drivers 24 or newer, or " +
  "the vendor's own) or use --backend cpu.";

/**
 * Opens the best adapter there is, a software adapter included.
 *
 * @throws ArcticError `device_none` when there is no adapter that computes, `device_open` when
 *   it refuses to open, `device_library…` when the WebGPU library cannot be found or loaded
 */
export async function openDevice(options: OpenOptions = {}): Promise<OpenDevice> {
  // Dawn prints two errors on stderr when it is unset; any folder satisfies it.
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
  const adapter = await findAdapter();
  const hasSubgroups = adapter.features.has("subgroups") && (options.subgroups ?? true);
  const device = await openAdapter(adapter, hasSubgroups ? ["subgroups"] : []);

  const faults = new Faults();
  device.onuncapturederror = function reportUncaptured(event: GPUUncapturedErrorEvent): void {
    faults.report(reportedError(event.error.constructor.name, event.error.message));
  };
  device.lost.then((lost) => faults.report(lostError(lost.reason, lost.message)));

  const { subgroupMinSize: min, subgroupMaxSize: max } = adapter.info;
  return {
    device,
    info: {
      name: deviceName(adapter.info),
      vendor: adapter.info.vendor,
      software: (adapter.info as { adapterType?: number }).adapterType === ADAPTER_TYPE_CPU,
      uniformLoads: hasUniformLoads(adapter.info.description),
    },
    faults,
    subgroupSize: hasSubgroups && min === max && min !== undefined ? min : 0,
  };
}

async function findAdapter(): Promise<GPUAdapter> {
  const instance = await loadInstance();
  pace(instance);
  const adapter = await instance.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new ArcticError("device_none", `There is no graphics adapter. ${INSTALL}`);
  }
  // Without a usable driver Dawn hands out a backend that accepts everything and computes nothing.
  if (adapter.info.device === "null-backend") {
    throw new ArcticError(
      "device_none",
      `No usable graphics driver was found: only a null adapter that computes nothing. ${INSTALL}`,
    );
  }
  return adapter;
}

async function loadInstance() {
  const path = await nativeLibraryPath();
  // Imported here: commands that use no device start without it.
  const { createGPUInstance, globals } = await import("bun-webgpu");
  // Its error classes refer to each other as globals: without this, a lost device is a ReferenceError.
  globals();
  try {
    return createGPUInstance(path);
  } catch (cause) {
    throw new ArcticError(
      "device_library",
      `The WebGPU library ${path} cannot be loaded: ${String(cause)}. Use --backend cpu.`,
      { cause },
    );
  }
}

async function openAdapter(adapter: GPUAdapter, features: GPUFeatureName[]): Promise<GPUDevice> {
  try {
    // bun-webgpu 0.1.7 hands the library the address of a list of features that nothing keeps alive.
    // Right after a collection none is due before the call; without it, one call in a thousand or so
    // asks for a feature that is whatever memory holds by then.
    Bun.gc(true);
    return await adapter.requestDevice({
      requiredLimits: numericLimits(adapter.limits),
      requiredFeatures: features,
    });
  } catch (cause) {
    throw new ArcticError(
      "device_open",
      `The graphics adapter ${deviceName(adapter.info)} cannot be opened: ${String(cause)}. ` +
        "Update its driver, or use --backend cpu.",
      { cause },
    );
  }
}

/** Every limit as the adapter reports it: bun-webgpu refuses a request that leaves some out. */
function numericLimits(limits: GPUSupportedLimits): Record<keyof GPUSupportedLimits, number> {
  const numbers: Record<string, number> = {};
  for (const name in limits) {
    const value: unknown = limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number" && name !== "nextInChain") numbers[name] = value;
  }
  return numbers as Record<keyof GPUSupportedLimits, number>;
}

/** @param description such as "llvmpipe: Mesa 26.2.6-1 (LLVM 22.1.8)" */
export function hasUniformLoads(description: string): boolean {
  const mesa = /^llvmpipe: Mesa (\d+)\./.exec(description)?.[1];
  return mesa !== undefined && Number(mesa) >= MESA_UNIFORM_LOADS;
}

function deviceName(info: GPUAdapterInfo): string {
  return info.device || info.description || info.vendor || "unnamed adapter";
}
