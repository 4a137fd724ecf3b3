/** Who watches a forward pass hears of each layer and of each expert: a disk may be slow at one. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCpuBackend } from "../../src/backend/cpu/index.ts";
import { openGpuBackend } from "../../src/backend/gpu/index.ts";
import { backendOptions } from "../../src/engine/engine.ts";
import { ArcticModel } from "../../src/model/arctic.ts";
import { convert } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { tinyModel, writeCheckpoint } from "../golden/tiny-model.ts";
import { gpuMissing } from "../support/gpu.ts";

const LAYERS = 2;
const work = mkdtempSync(join(tmpdir(), "arctic-progress-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
writeCheckpoint(tinyModel({ layers: LAYERS }), join(work, "checkpoint"));
await convert(join(work, "checkpoint"), join(work, "model"), {});

for (const [name, open] of [["cpu", openCpuBackend], ["gpu", openGpuBackend]] as const) {
  test.skipIf(name === "gpu" && gpuMissing !== undefined)(`progress on ${name}`, async () => {
    const source = openModel(join(work, "model"));
    const backend = await open(source, backendOptions(source));
    const chosen = new Set<string>();
    let heard = 0;
    const model = await ArcticModel.load(source, backend, undefined, {
      onRouting: (layer, { experts }) => experts.forEach((e) => chosen.add(`${layer}.${e}`)),
      onProgress: () => heard++,
    });
    const ring = 64;
    await model.forward({
      tokens: Uint32Array.of(1, 2, 3),
      sequence: new Uint32Array(3),
      position: Uint32Array.of(0, 1, 2),
      sequences: [{ pages: Uint32Array.of(0, 1, 2, 3), sinks: 0, window: ring - 1, ring }],
      logitRows: Uint32Array.of(2),
    });
    expect(chosen.size).toBeGreaterThan(LAYERS);
    expect(heard).toBe(LAYERS + chosen.size);
    backend.close();
    source.close();
  });
}
