import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { kernels } from "../../src/embedded.ts";
import { errorCode } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { type Gpu, openGpu, whole } from "../../src/backend/gpu/index.ts";
import { hasUniformLoads } from "../../src/backend/gpu/device.ts";
import { folded } from "../../src/backend/gpu/fp8-product.ts";
import { pace } from "../../src/backend/gpu/pace.ts";
import { gpuMissing } from "../support/gpu.ts";

const withGpu = test.skipIf(gpuMissing !== undefined);

/** out[i] = p.add + in[i] for 16 values: a kernel that belongs to these tests alone. */
const ADD = `
@group(0) @binding(0) var<uniform> p: vec4<u32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) i: u32) { output[p.y * 16u + i] = input[i] + p.x; }
`;

async function use<T>(work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openGpu();
  try {
    return await work(gpu);
  } finally {
    gpu.close();
  }
}

function withKernel<T>(name: string, text: string, work: () => T): T {
  const table = kernels as Record<string, string>;
  table[name] = text;
  try {
    return work();
  } finally {
    delete table[name];
  }
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    return errorCode(error);
  }
  return undefined;
}

/** bun-webgpu's devices have this for tests. */
function inject(gpu: Gpu, type: "validation" | "out-of-memory"): void {
  (gpu.device as unknown as { injectError(type: string, message: string): void })
    .injectError(type, "made up");
}

const rejection = (promise: Promise<unknown>) => promise.then(() => undefined, errorCode);

describe("what goes wrong on the device reaches the caller", () => {
  withGpu("more workgroups than a dimension has are never dispatched", () =>
    use((gpu) => {
      const most = limits.workgroupsPerDimension;
      withKernel("add", ADD, () => {
        const pipeline = gpu.pipeline("add");
        expect(() => gpu.dispatch(pipeline, [], [most + 1])).toThrow("workgroups");
        expect(() => gpu.dispatch(pipeline, [], [1, most + 1])).toThrow("workgroups");
      });
      return Promise.resolve();
    }));

  test.each([1, 65_535, 65_536, 200_000])(
    "%p groups are folded into dimensions that fit",
    (groups) => {
      const [columns, folds] = folded(groups);
      expect(Math.max(columns, folds)).toBeLessThanOrEqual(limits.workgroupsPerDimension);
      expect(columns * folds).toBeGreaterThanOrEqual(groups);
    },
  );

  withGpu("a validation error rejects the next read, once", () =>
    use(async (gpu) => {
      const buffer = whole(gpu.buffer("test", 64));
      inject(gpu, "validation");
      expect(await rejection(gpu.read(buffer))).toBe("device_validation");
      expect((await gpu.read(buffer)).byteLength).toBe(64);
    }));

  withGpu("a validation error while a read is pending rejects that read", () =>
    use(async (gpu) => {
      const read = rejection(gpu.read(whole(gpu.buffer("test", 64))));
      inject(gpu, "validation");
      expect(await read).toBe("device_validation");
      expect((await gpu.read(whole(gpu.buffer("test", 64)))).byteLength).toBe(64);
    }));

  withGpu("a wrong binding rejects the next read", () =>
    use(async (gpu) => {
      const buffer = whole(gpu.buffer("test", 64));
      const pipeline = withKernel("test-add", ADD, () => gpu.pipeline("test-add"));
      gpu.dispatch(pipeline, [gpu.params([1]), buffer], [1]);
      expect(await rejection(gpu.read(buffer))).toBe("device_validation");
    }));

  withGpu("out of memory rejects the next read", () =>
    use(async (gpu) => {
      inject(gpu, "out-of-memory");
      expect(await rejection(gpu.read(whole(gpu.device.createBuffer({ size: 64, usage: 4 })))))
        .toBe("device_out_of_memory");
    }));

  withGpu("a buffer that is too large names its bytes", () =>
    use((gpu) => {
      const bytes = gpu.bufferBytes + 16;
      expect(codeOf(() => gpu.buffer("huge", bytes))).toBe("device_out_of_memory");
      expect(() => gpu.buffer("huge", bytes)).toThrow(/no room for huge, \d{6,} bytes/);
      return Promise.resolve();
    }));

  withGpu("a fault of one call is that call's, not a pending read's", () =>
    use(async (gpu) => {
      const pending = gpu.read(whole(gpu.buffer("test", 64)));
      expect(codeOf(() => gpu.pipeline("matvec-fp8", { NOPE: 1 }))).toBe("device_kernel");
      expect((await pending).byteLength).toBe(64);
    }));

  withGpu("a lost device rejects the pending read and every later call", () =>
    use(async (gpu) => {
      const buffer = whole(gpu.buffer("test", 64));
      const pending = rejection(gpu.read(buffer));
      gpu.device.destroy();
      expect(await pending).toBe("device_lost");
      expect(await rejection(gpu.read(buffer))).toBe("device_lost");
      expect(await rejection(gpu.finished())).toBe("device_lost");
    }));

  withGpu(
    "a device that is lost while nobody waits refuses the next step's first upload",
    () =>
      use(async (gpu) => {
        const buffer = gpu.buffer("test", 64);
        await gpu.finished();
        gpu.device.destroy();
        await gpu.device.lost;
        expect(codeOf(() => gpu.upload(buffer, 0, new Uint32Array(4)))).toBe("device_lost");
      }),
  );

  withGpu("a kernel that does not compile is named, with its line", () =>
    use((gpu) => {
      const broken = ADD.replace("input[i] + p.x", "input[i] + 1.5f");
      const compile = () => withKernel("test-broken", broken, () => gpu.pipeline("test-broken"));
      expect(compile).toThrow(/kernel test-broken[^]*:6:/);
      expect(codeOf(compile)).toBe("device_kernel");
      expect(codeOf(() => gpu.pipeline("no-such-kernel"))).toBe("device_kernel");
      expect(codeOf(() => gpu.pipeline("matvec-fp8", { NOPE: 1 }))).toBe("device_kernel");
      return Promise.resolve();
    }));

  test("the null adapter is refused", async () => {
    const module = new URL("../../src/backend/gpu/index.ts", import.meta.url).href;
    const script = `const { openGpu } = await import(${JSON.stringify(module)});
      await openGpu().then(() => console.log("opened"), (e) => console.log(e.code, e.message));`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      cwd: fileURLToPath(new URL("../../", import.meta.url)),
      env: { ...process.env, VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
      stdout: "pipe",
      stderr: "ignore",
    });
    expect(await new Response(child.stdout).text()).toMatch(/^device_none .*Install a Vulkan/);
  });
});

test("the device is polled as long as something waits, and the event loop turns meanwhile", async () => {
  let polls = 0, turns = 0;
  const ticker = {
    hasWaiting: () => polls < 5,
    processEvents: () => void polls++,
    scheduleTick: () => {},
  };
  pace({ _ticker: ticker });
  ticker.scheduleTick();
  ticker.scheduleTick();
  expect(polls).toBe(0);
  while (polls < 5) await new Promise((resolve) => setImmediate(() => resolve(++turns)));
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(polls).toBe(5);
  expect(turns).toBeGreaterThanOrEqual(4);
});

describe("order", () => {
  withGpu(
    "uploads and dispatches take effect in the order they are issued",
    () =>
      use(async (gpu) => {
        const input = gpu.buffer("input", 64);
        const output = whole(gpu.buffer("output", 3 * 64));
        const add = withKernel("test-add", ADD, () => gpu.pipeline("test-add"));
        for (const [i, value] of [10, 20, 30].entries()) {
          gpu.upload(input, 0, new Uint32Array(16).fill(value));
          gpu.dispatch(add, [gpu.params([i, i]), whole(input), output], [1]);
        }
        const got = new Uint32Array(await gpu.read(output));
        expect([got[0], got[16], got[32], got[47]]).toEqual([10, 21, 32, 32]);
      }),
  );

  withGpu(
    "more parameter blocks than there is room for, and a group for each",
    () =>
      use(async (gpu) => {
        const count = limits.gpuParamBlocks + 100;
        const input = whole(gpu.buffer("input", 64));
        const output = whole(gpu.buffer("output", count * 64));
        const add = withKernel("test-add", ADD, () => gpu.pipeline("test-add"));
        for (let i = 0; i < count; i++) {
          gpu.dispatch(add, [gpu.params([7 * i, i]), input, output], [1]);
        }
        const got = new Uint32Array(await gpu.read(output));
        for (let i = 0; i < count; i++) expect(got[i * 16 + 15]).toBe(7 * i);
      }),
  );

  withGpu(
    "reads that overlap, with work recorded between them, each see their own moment",
    () =>
      use(async (gpu) => {
        const input = whole(gpu.buffer("input", 64));
        const output = whole(gpu.buffer("output", 64));
        const add = withKernel("test-add", ADD, () => gpu.pipeline("test-add"));
        const reads = [];
        for (let i = 0; i < 20; i++) {
          gpu.dispatch(add, [gpu.params([i, 0]), input, output], [1]);
          reads.push(gpu.read(output));
        }
        const values = (await Promise.all(reads)).map((bytes) => new Uint32Array(bytes)[3]);
        expect(values).toEqual(Array.from({ length: 20 }, (_, i) => i));
      }),
  );
});

test.each([
  ["llvmpipe: Mesa 26.2.6-1 (LLVM 22.1.8)", true],
  ["llvmpipe: Mesa 100.0.0 (LLVM 30.0.0)", true],
  ["llvmpipe: Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6) 0.0.1", false],
  ["radv: Mesa 26.2.6-1", false],
  ["", false],
])("of %p it is known whether uniform values are loaded once: %p", (description, expected) => {
  expect(hasUniformLoads(description)).toBe(expected);
});
