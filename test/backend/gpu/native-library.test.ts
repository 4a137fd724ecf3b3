import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeLibraryPath, unpackOnce } from "../../../src/backend/gpu/native-library.ts";
import { ArcticError, errorCode } from "../../../src/errors.ts";
import { cacheFolders } from "../../../src/unpack.ts";

const library = new TextEncoder().encode("not really a shared library");
let scratch = "";
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "native-library-"));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

test("in a checkout the library is the package's own file", async () => {
  const path = await nativeLibraryPath();
  expect(path).toContain("node_modules");
  expect(existsSync(path)).toBe(true);
});

test("a library is unpacked once, under the hash of its content, for its owner alone", () => {
  const folder = join(scratch, "made", "on the way");
  const path = unpackOnce(library, ".so", [folder]);
  expect(path).toMatch(/[/\\][0-9a-f]{64}\.so$/);
  expect(new Uint8Array(readFileSync(path))).toEqual(library);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  const { ino, mtimeMs } = statSync(path);
  expect(unpackOnce(library, ".so", [folder])).toBe(path);
  expect(statSync(path)).toMatchObject({ ino, mtimeMs });
  expect(readdirSync(folder)).toHaveLength(1);
});

test("another library gets a file of its own", () => {
  const first = unpackOnce(library, ".so", [scratch]);
  const second = unpackOnce(library.with(0, 0), ".so", [scratch]);
  expect(second).not.toBe(first);
  expect(readdirSync(scratch)).toHaveLength(2);
});

test.each([
  ["shortened", library.slice(1)],
  ["changed", library.with(3, 255)],
  ["empty", new Uint8Array()],
])("a %s file in its place is replaced", (_, damaged) => {
  const path = unpackOnce(library, ".so", [scratch]);
  chmodSync(path, 0o600);
  writeFileSync(path, damaged);
  expect(unpackOnce(library, ".so", [scratch])).toBe(path);
  expect(new Uint8Array(readFileSync(path))).toEqual(library);
  expect(readdirSync(scratch)).toHaveLength(1);
});

test("a link in its place is replaced, not followed", () => {
  const path = unpackOnce(library, ".so", [scratch]);
  const elsewhere = join(scratch, "elsewhere");
  writeFileSync(elsewhere, library);
  rmSync(path);
  symlinkSync(elsewhere, path);
  unpackOnce(library, ".so", [scratch]);
  expect(statSync(path).ino).not.toBe(statSync(elsewhere).ino);
});

test("the next folder is taken when the first cannot be made", () => {
  const file = join(scratch, "a file");
  writeFileSync(file, "");
  const path = unpackOnce(library, ".so", [join(file, "arctic"), join(scratch, "second")]);
  expect(path).toStartWith(join(scratch, "second"));
});

test("a folder that others may write to is not used", () => {
  const shared = join(scratch, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  const path = unpackOnce(library, ".so", [shared, join(scratch, "second")]);
  expect(path).toStartWith(join(scratch, "second"));
  expect(readdirSync(shared)).toEqual([]);
});

test("a folder that is a link is not used", () => {
  const link = join(scratch, "link");
  mkdirSync(join(scratch, "target"), { mode: 0o700 });
  symlinkSync(join(scratch, "target"), link);
  expect(unpackOnce(library, ".so", [link, join(scratch, "second")])).toContain("second");
});

test("where no folder will do, the error names them and what to do", () => {
  const file = join(scratch, "a file");
  writeFileSync(file, "");
  const attempt = () => unpackOnce(library, ".so", [join(file, "x"), join(file, "y")]);
  expect(attempt).toThrow(ArcticError);
  try {
    attempt();
  } catch (error) {
    expect(errorCode(error)).toBe("device_library_unpack");
    expect(String(error)).toContain(join(file, "x"));
    expect(String(error)).toContain(join(file, "y"));
    expect(String(error)).toContain("XDG_CACHE_HOME");
  }
});

test("the user's cache folder comes first, the system's temp folder always last", () => {
  const last = cacheFolders({}).at(-1) ?? "";
  expect(cacheFolders({})).toEqual([last]);
  expect(last).toStartWith(tmpdir());
  expect(cacheFolders({ HOME: "/h" })).toEqual([join("/h", ".cache", "arctic"), last]);
  expect(cacheFolders({ HOME: "/h", XDG_CACHE_HOME: "/c" })).toEqual([join("/c", "arctic"), last]);
  expect(cacheFolders({ HOME: "", XDG_CACHE_HOME: "" })).toEqual([last]);
  expect(cacheFolders({ HOME: "/h", XDG_CACHE_HOME: "c" })[0]).toBe(join("/h", ".cache", "arctic"));
});
