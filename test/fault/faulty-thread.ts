/** The engine's thread of `arctic serve`, with a backend that fails when it is told to. */

import { globalConstructors } from "bun-webgpu";
import { CpuBackend } from "../../src/backend/cpu/index.ts";
import { GpuBackend } from "../../src/backend/gpu/index.ts";
import type { Backend } from "../../src/model/backend.ts";
import "../../src/cli/serve-worker.ts";
import { CHANNEL, type Fault } from "./faulty.ts";

interface Device {
  destroy(): void;
  injectError(type: "out-of-memory", message: string): void;
}

let pending: Fault | undefined;
let device: Device | undefined;

new BroadcastChannel(CHANNEL).onmessage = ({ data }: { data: unknown }) => {
  const fault = data as Fault;
  if (fault === "lost") device?.destroy();
  else if (fault === "crash") throw new TypeError("a fault of the thread");
  else pending = fault;
};

function faulty(backend: Backend): void {
  const { logits } = backend;
  backend.logits = async function (this: Backend, ...args) {
    const fault = pending;
    pending = undefined;
    if (fault === "hang") await new Promise(() => {});
    if (fault === "memory") device?.injectError("out-of-memory", "made up");
    const rows = await logits.apply(this, args);
    if (fault === "nan") rows[0] = NaN;
    return rows;
  };
}
faulty(CpuBackend.prototype);
faulty(GpuBackend.prototype);

/** The device is whatever creates buffers. */
const { prototype } = globalConstructors.GPUDevice as {
  prototype: Device & { createBuffer(descriptor: unknown): unknown };
};
const { createBuffer } = prototype;
prototype.createBuffer = function (this: Device, descriptor) {
  device = this;
  return createBuffer.call(this, descriptor);
};
