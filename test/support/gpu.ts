/**
 * Whether tests can use a GPU. `npm test` fails when there is none, whatever is skipped for it; a
 * single file run by hand says why it skips.
 *
 *     import { gpuMissing } from "../support/gpu.ts";
 *     test.skipIf(gpuMissing !== undefined)("…", …)
 *
 * As a program: prints the adapter's name, or exits 1 with the reason.
 */

import { createGPUInstance } from "bun-webgpu";
import process from "node:process";

/** The adapter's name, or why there is none that computes. */
async function probe(): Promise<{ name: string } | { missing: string }> {
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
  try {
    const adapter = await createGPUInstance().requestAdapter();
    // Without a usable driver Dawn hands out a backend that computes nothing.
    if (adapter === null || adapter.info.device === "null-backend") {
      return { missing: "no Vulkan driver that WebGPU can use (Mesa 24 or newer, or a vendor's)" };
    }
    return { name: adapter.info.description || adapter.info.device };
  } catch (error) {
    return { missing: `the WebGPU library does not load: ${String(error)}` };
  }
}

const found = await probe();

/** The reason why GPU tests cannot run; undefined when they can. */
export const gpuMissing: string | undefined = "missing" in found ? found.missing : undefined;

if (import.meta.main) {
  console.log("missing" in found ? found.missing : found.name);
  process.exit("missing" in found ? 1 : 0);
} else if (gpuMissing !== undefined) {
  console.warn(`GPU tests are skipped: ${gpuMissing}.`);
}
