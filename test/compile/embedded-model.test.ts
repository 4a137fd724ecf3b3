/** A program with a model inside: unpacked once, repaired, and refused when it is damaged. */

import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../compile/build.ts";
import { embedModel } from "../../compile/embedded-model.ts";
import { hostTarget } from "../../compile/targets.ts";
import { defined } from "../../src/assert.ts";
import { tinyTextModel } from "../cli/tiny-text-model.ts";

setDefaultTimeout(60_000);

const host = defined(hostTarget(), "a target for this machine");

let scratch = "";
let program = "";
let model = "";
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "embedded-"));
  model = await tinyTextModel(scratch);
  program = join(scratch, "bin", "arctic");
  const built = await build({ ...host, libraryPackage: null }, program, model);
  expect(built.withModel).toBe(true);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const home = () => join(scratch, "home");
const cache = () => join(home(), "arctic");
beforeEach(() => rmSync(home(), { recursive: true, force: true }));

const PROMPT = [
  "prompt",
  "--backend=cpu",
  "--json",
  "--max-tokens=4",
  "--temperature=0",
  "the user",
];

async function run(file = program, env: Record<string, string> = { XDG_CACHE_HOME: home() }) {
  const child = Bun.spawn([file, ...PROMPT], { env, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, stderr, tokens: code === 0 ? JSON.parse(stdout).tokens as number[] : [] };
}

/** Path of the one unpacked model. */
function unpacked(): string {
  const folders = readdirSync(cache());
  expect(folders).toHaveLength(1);
  return join(cache(), defined(folders[0], "a folder"));
}

function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder).sort().map((
      name,
    ) => [
      name,
      new Bun.CryptoHasher("sha256").update(readFileSync(join(folder, name))).digest("hex"),
    ]),
  );
}

test("the model is unpacked once, for its owner alone, and answers without --model", async () => {
  const first = await run();
  expect([first.code, first.tokens.length]).toEqual([0, 4]);
  const folder = unpacked();
  expect(folder).toMatch(/[/\\]model-[0-9a-f]{64}$/);
  expect(contents(folder)).toEqual(contents(model));
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  const before = readdirSync(folder).map((name) => statSync(join(folder, name)).ino);
  expect((await run()).tokens).toEqual(first.tokens);
  expect(readdirSync(folder).map((name) => statSync(join(folder, name)).ino)).toEqual(before);
});

test("a damaged, shortened or missing file in the cache is repaired", async () => {
  const { tokens } = await run();
  const folder = unpacked();
  const sound = contents(folder);
  const names = readdirSync(folder);
  const [first = "", second = "", third = ""] = names;
  for (const name of names) chmodSync(join(folder, name), 0o600);
  const bytes = readFileSync(join(folder, first));
  bytes[bytes.length >> 1] = 255 - (bytes[bytes.length >> 1] ?? 0);
  writeFileSync(join(folder, first), bytes);
  writeFileSync(join(folder, second), "short");
  rmSync(join(folder, third));
  expect(await run()).toEqual({ code: 0, stderr: expect.any(String), tokens });
  expect(contents(folder)).toEqual(sound);
});

test("starts at the same time end with one whole copy and the same answer", async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => run()));
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(new Set(all.map(({ tokens }) => tokens.join())).size).toBe(1);
  expect(contents(unpacked())).toEqual(contents(model));
});

test("without a home, or with one that cannot be used, the temporary folder serves", async () => {
  const temporary = join(scratch, "temporary");
  mkdirSync(temporary, { recursive: true });
  writeFileSync(join(scratch, "a file"), "");
  const environments: Record<string, string>[] = [{}, { HOME: join(scratch, "a file") }];
  for (const env of environments) {
    const { code } = await run(program, { ...env, TMPDIR: temporary });
    expect(code).toBe(0);
    const [folder = ""] = readdirSync(temporary);
    expect(readdirSync(join(temporary, folder))[0]).toStartWith("model-");
    rmSync(join(temporary, folder), { recursive: true });
  }
});

test("where nothing can be written, the error names the folders and the way out", async () => {
  const file = join(scratch, "a file");
  writeFileSync(file, "");
  const { code, stderr } = await run(program, { XDG_CACHE_HOME: file, TMPDIR: file });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^arctic: The embedded model could not be unpacked to .*--model DIR\.\n$/);
  expect(stderr).toContain(join(file, "arctic"));
});

test("a program whose own copy is damaged says so and leaves nothing that looks whole", async () => {
  const damaged = join(scratch, "bin", "damaged");
  const bytes = readFileSync(program);
  const shard = readFileSync(join(model, "experts-00001.bin"));
  const at = bytes.indexOf(shard);
  expect(at).toBeGreaterThan(0);
  bytes[at + 100] = 255 - (bytes[at + 100] ?? 0);
  writeFileSync(damaged, bytes, { mode: 0o755 });
  const { code, stderr } = await run(damaged);
  expect(code).toBe(1);
  expect(stderr).toBe(
    "arctic: The model inside this program is damaged: experts-00001.bin is not what was built. " +
      "Copy or build arctic again, or give --model DIR.\n",
  );
  expect(existsSync(join(unpacked(), "experts-00001.bin"))).toBe(false);
});

test("a model that is too large for the program is refused when it is built", () => {
  const large = join(scratch, "large");
  mkdirSync(large);
  writeFileSync(join(large, "manifest.msgpack"), "");
  writeFileSync(join(large, "dense-00001.bin"), new Uint8Array(16_000_001));
  expect(() => embedModel(large)).toThrow("16000001 bytes");
  writeFileSync(join(large, "dense-00001.bin"), new Uint8Array(16_000_000));
  expect(embedModel(large).present).toBe(true);
  expect(embedModel(join(scratch, "nothing")).present).toBe(false);
});
