/** Model folders from a stranger: paths that lead away, files that are none, code to be run. */

import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { readCheckpoint } from "../../weights-manifest/checkpoint.ts";
import { convert } from "../../weights-manifest/convert.ts";
import { openModel } from "../../weights-manifest/reader.ts";
import { MANIFEST_FILE } from "../../weights-manifest/schema.ts";
import {
  refusal,
  removeTemporary,
  temporary,
  tinyCheckpoint,
  tinyConfig,
} from "../weights-manifest/support.ts";

afterAll(removeTemporary);

const isRoot = process.getuid?.() === 0;

/** A checkpoint whose index places one tensor in a file of this name. */
function placedIn(name: string): string {
  const folder = tinyCheckpoint({}, { files: 2 });
  const path = join(folder, "model.safetensors.index.json");
  const index = JSON.parse(readFileSync(path, "utf8"));
  index.weight_map["lm_head.weight"] = name;
  writeFileSync(path, JSON.stringify(index));
  return folder;
}

describe("a checkpoint's index cannot lead out of its folder", () => {
  const names = [
    "../../etc/passwd",
    "/etc/passwd",
    "part-0.safetensors\0.bin",
    "..",
    ".",
    "",
    "./part-0.safetensors",
    "a/../../b",
    "a//b",
    "..\\..\\windows",
  ];
  for (const name of names) {
    test(JSON.stringify(name), async () => {
      const folder = placedIn(name);
      await refusal("weights_path_outside", () => readCheckpoint(folder));
    });
  }

  test("by a link to a file elsewhere, or through a linked folder", async () => {
    const folder = placedIn("link.safetensors");
    const elsewhere = join(temporary(), "real.safetensors");
    copyFileSync(join(folder, "part-1.safetensors"), elsewhere);
    symlinkSync(elsewhere, join(folder, "link.safetensors"));
    await refusal("weights_path_outside", () => readCheckpoint(folder));
    const nested = placedIn("sub/real.safetensors");
    symlinkSync(join(elsewhere, ".."), join(nested, "sub"));
    await refusal("weights_path_outside", () => readCheckpoint(nested));
  });

  test("by a neighbour whose name begins like the folder's", async () => {
    const root = temporary();
    const folder = join(root, "model");
    renameSync(placedIn("link.safetensors"), folder);
    mkdirSync(join(root, "model-2"));
    writeFileSync(join(root, "model-2/x"), "x");
    symlinkSync(join(root, "model-2/x"), join(folder, "link.safetensors"));
    await refusal("weights_path_outside", () => readCheckpoint(folder));
  });

  test("by config.json or a tokenizer that is a link", async () => {
    for (const name of ["config.json", "tokenizer.model"]) {
      const folder = tinyCheckpoint();
      rmSync(join(folder, name));
      symlinkSync("/etc/passwd", join(folder, name));
      await refusal("weights_path_outside", () => readCheckpoint(folder));
    }
  });

  test("a link inside the folder, and a folder that is a link itself, are fine", async () => {
    const folder = tinyCheckpoint();
    renameSync(join(folder, "model.safetensors"), join(folder, "real.bin"));
    symlinkSync("real.bin", join(folder, "model.safetensors"));
    const link = join(temporary(), "link");
    symlinkSync(folder, link);
    const output = join(temporary(), "model");
    await convert(link, output);
    openModel(output).close();
  });
});

describe("only regular files are read", () => {
  const kinds: [string, (path: string) => void][] = [
    ["a pipe", (path) => expect(Bun.spawnSync(["mkfifo", path]).success).toBe(true)],
    ["a folder", (path) => mkdirSync(path)],
  ];
  for (const [what, make] of kinds) {
    test(`${what} in place of weights`, async () => {
      const folder = tinyCheckpoint();
      rmSync(join(folder, "model.safetensors"));
      make(join(folder, "model.safetensors"));
      await refusal("weights_not_a_file", () => readCheckpoint(folder));
    });

    test(`${what} in place of a shard`, async () => {
      const folder = join(temporary(), "model");
      await convert(tinyCheckpoint(), folder);
      rmSync(join(folder, "dense-00001.bin"));
      make(join(folder, "dense-00001.bin"));
      await refusal("weights_not_a_file", () => openModel(folder));
    });
  }

  test("a shard or manifest that is a link to a device", async () => {
    for (const name of ["experts-00001.bin", MANIFEST_FILE]) {
      const folder = join(temporary(), "model");
      await convert(tinyCheckpoint(), folder);
      rmSync(join(folder, name));
      symlinkSync("/dev/zero", join(folder, name));
      await refusal("weights_path_outside", () => openModel(folder));
    }
  });

  if (!isRoot) console.warn("skipped, only root can make a device: a device inside the folder");
  test.skipIf(!isRoot)("a device inside the folder", async () => {
    const folder = tinyCheckpoint();
    const path = join(folder, "model.safetensors");
    rmSync(path);
    expect(Bun.spawnSync(["mknod", path, "c", "1", "5"]).success).toBe(true);
    await refusal("weights_not_a_file", () => readCheckpoint(folder));
  });

  if (isRoot) console.warn("skipped, root may read everything: a shard that may not be read");
  test.skipIf(isRoot)("a shard that may not be read", async () => {
    const folder = join(temporary(), "model");
    await convert(tinyCheckpoint(), folder);
    chmodSync(join(folder, "dense-00001.bin"), 0);
    const model = openModel(folder);
    await refusal("weights_unreadable", () => model.mapped(0, 0, 1));
  });
});

test("a header that claims 100 MB costs no memory", async () => {
  const folder = tinyCheckpoint();
  const path = join(folder, "model.safetensors");
  writeFileSync(path, new BigUint64Array([100_000_000n]));
  const before = process.memoryUsage.rss();
  await refusal("weights_header_too_large", () => readCheckpoint(folder));
  expect(process.memoryUsage.rss() - before).toBeLessThan(30e6);
});

test("a file of 2^62 bytes that says so is judged by its true size", async () => {
  const folder = tinyCheckpoint();
  const path = join(folder, "model.safetensors");
  const header =
    '{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}';
  const fd = openSync(path, "w");
  writeSync(fd, new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer));
  writeSync(fd, header);
  truncateSync(path, 1000);
  await refusal("weights_shape_overflow", () => readCheckpoint(folder));
});

test("auto_map and a Python module beside it are never looked at", async () => {
  const changes = { auto_map: { AutoModel: "evil.Evil", AutoConfig: "../../evil--x.Evil" } };
  const folder = tinyCheckpoint(changes);
  writeFileSync(join(folder, "evil.py"), "raise SystemExit(66)");
  mkdirSync(join(folder, "evil.ts"));
  const output = join(temporary(), "model");
  const { manifest } = await convert(folder, output);
  expect(manifest.config.layers).toBe(tinyConfig.num_hidden_layers);
  expect(manifest.files.map((file) => file.name)).toEqual(["tokenizer.model"]);
});
