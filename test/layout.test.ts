/** The rules of docs/architecture.md that a listing of files can check. */

import { expect, test } from "bun:test";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedSource, kernelNames } from "../compile/embed.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** An area is a folder or a file without its extension. It may import itself and what it lists. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "src/main": ["src/cli"],
  "src/cli": [
    "src/server",
    "src/engine",
    "src/model",
    "src/backend/cpu",
    "src/backend/gpu",
    "src/grammar",
    "src/tokenizer",
    "src/embedded-model",
    "src/sql",
    "weights-manifest",
    "package",
  ],
  "src/server": ["src/engine", "src/tokenizer", "src/grammar"],
  "src/engine": ["src/model", "src/tokenizer", "src/grammar", "weights-manifest"],
  "src/model": ["weights-manifest"],
  // Both implement the model's interface; that one file is all they know of it.
  "src/backend/cpu": ["src/model/backend", "weights-manifest"],
  "src/backend/gpu": ["src/model/backend", "weights-manifest", "src/embedded"],
  "src/embedded": ["kernels"],
  // The files are the build's; in a checkout the model lies in weights-manifest.
  "src/embedded-model": ["src/embedded-model-files"],
  "src/embedded-model-files": [],
  "kernels": [],
  "src/tokenizer": [],
  "src/grammar": [],
  "src/sql": [],
  "weights-manifest": [],
  "weights-manifest/arctic-tiny-sql": ["src/sql"],
};
/** Open to all, and importing nothing but each other. */
const open = [
  "src/errors",
  "src/limits",
  "src/assert",
  "src/observe",
  "src/unpack",
  "src/worker-url",
];

/** Packages that one part of the program keeps to itself, so that they can be replaced. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  "bun-webgpu": ["src/backend/gpu"],
  "msgpackr": ["weights-manifest", "src/server"],
  "@huggingface/jinja": ["src/tokenizer"],
  "@huggingface/tokenizers": ["src/tokenizer"],
  "@mlc-ai/web-xgrammar": ["src/grammar"],
  "hono": ["src/server"],
  "@hono/zod-openapi": ["src/server"],
  "zod": ["src/server"],
  "pino": ["src/server"],
  "prom-client": ["src/server"],
};

const LONGEST_FILE = 400;
/** Files that are longer, and why they are about one thing nevertheless. */
const longFiles: Readonly<Record<string, string>> = {
  "src/sql/demo-questions.ts": "a table of questions, each with its SQL",
};

const sources = globSync(["src/**/*.ts", "weights-manifest/**/*.ts"], { cwd: ROOT })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => !path.endsWith(".d.ts"))
  .sort();

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** What a file names in its imports, types and dynamic imports included. */
function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const named = code.matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g);
  return [...named].map((match) => match[1] ?? "");
}

/** The most specific of `areas` that a path (without extension) lies in. */
function areaOf(path: string, areas: readonly string[]): string | undefined {
  const around = areas.filter((area) => path === area || path.startsWith(`${area}/`));
  return around.sort((a, b) => b.length - a.length)[0];
}

/** Why the file at `from` must not import `specifier`; undefined when it may. */
function objection(from: string, specifier: string): string | undefined {
  const areas = [...Object.keys(mayImport), ...open];
  const area = areaOf(from.replace(/\.ts$/, ""), areas);
  if (area === undefined) return `${from} is in no area that test/layout.test.ts knows`;
  if (!specifier.startsWith(".")) {
    const scoped = specifier.startsWith("@") ? 2 : 1;
    const owners = packageOwners[specifier.split("/").slice(0, scoped).join("/")];
    if (owners === undefined || owners.includes(area)) return undefined;
    return `${from} imports ${specifier}, which only ${owners.join(" and ")} may`;
  }
  const path = join(dirname(from), specifier).replaceAll("\\", "/").replace(/\.\w+$/, "");
  const allowed = [area, ...open, ...(mayImport[area] ?? [])];
  const isAllowed = allowed.includes(path) || allowed.includes(areaOf(path, areas) ?? "");
  return isAllowed ? undefined : `${from} imports ${path}`;
}

test("imports point down only", () => {
  const objections = sources.flatMap((from) =>
    importsOf(read(from)).map((specifier) => objection(from, specifier))
  ).filter((text) => text !== undefined);
  expect(sources.length).toBeGreaterThan(20);
  expect(objections).toEqual([]);
});

test.each([
  ["src/engine/engine.ts", "../cli/flags.ts"],
  ["src/model/arctic.ts", "../engine/engine.ts"],
  ["src/model/arctic.ts", "../backend/cpu/index.ts"],
  ["src/backend/gpu/rope.ts", "../cpu/rope.ts"],
  ["src/backend/cpu/rope.ts", "../gpu/rope.ts"],
  ["src/backend/cpu/rope.ts", "../../model/arctic.ts"],
  ["src/backend/cpu/rope.ts", "../../embedded.ts"],
  ["weights-manifest/reader.ts", "../src/engine/engine.ts"],
  ["weights-manifest/reader.ts", "./arctic-tiny-sql/model.ts"],
  ["src/tokenizer/tokenizer.ts", "../../weights-manifest/reader.ts"],
  ["src/errors.ts", "./cli/run.ts"],
  ["src/main.ts", "./engine/engine.ts"],
  ["src/engine/engine.ts", "bun-webgpu"],
  ["src/engine/engine.ts", "hono/streaming"],
  ["src/server/app.ts", "../backend/cpu/index.ts"],
  ["src/server/app.ts", "../cli/flags.ts"],
  ["src/grammar/grammar.ts", "../engine/engine.ts"],
  ["src/new-folder/file.ts", "../errors.ts"],
])("%s must not import %s", (from, specifier) => {
  expect(objection(from, specifier)).toBeDefined();
});

test("imports are found in every form", () => {
  const text =
    `import { a } from "./a.ts";\nimport type { B } from './b.ts';\nexport * from "./c.ts";
import "./d.ts";\nconst e = await import("./e.ts");\n// from "./no.ts"\n/* import "./no.ts" */`;
  expect(importsOf(text)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts"]);
});

test("no file of the program is long without a reason", () => {
  const long = sources.filter((path) =>
    path !== "src/embedded.ts" && !(path in longFiles) &&
    read(path).split("\n").length > LONGEST_FILE
  );
  expect(long).toEqual([]);
});

test("there is no shader text in TypeScript", () => {
  const shaders = sources.filter((path) => /@compute|@group\(|@workgroup_size/.test(read(path)));
  expect(shaders).toEqual([]);
});

test("src/embedded.ts lists every file of kernels/", () => {
  expect(read("src/embedded.ts")).toBe(embeddedSource(kernelNames()));
});

/** `lib/` holds shared functions; NAME.VARIANT.wgsl is another kernel of the op NAME. */
const kernels = kernelNames().filter((name) => !name.startsWith("lib/"));
const ops = [...new Set(kernels.map((name) => name.split(".")[0] ?? name))];

test("kernels are found", () => expect(ops.length).toBeGreaterThan(5));

test.each(ops)("%s has a kernel, an op on each backend and a test", (op) => {
  const wanted = [
    `kernels/${op}.wgsl`,
    `src/backend/gpu/${op}.ts`,
    `src/backend/cpu/${op}.ts`,
    `test/kernels/${op}.test.ts`,
  ];
  const there = globSync(wanted, { cwd: ROOT }).map((path) => relative("", path));
  expect(wanted.filter((path) => !there.includes(path))).toEqual([]);
});

test.each(kernels)("kernels/%s.wgsl is one documented kernel", (name) => {
  const text = read(`kernels/${name}.wgsl`);
  expect(text.match(/@compute\b/g)?.length).toBe(1);
  expect(text).toMatch(/\bfn main\(/);
  // `// use: …` and `enable …;` come first where there are any.
  const head = /^(?:\/\/ use: .*\n)?(?:enable .*;\n|\s*\n)*((?:\/\/.*\n)+)/.exec(text)?.[1] ?? "";
  expect(head.split("\n").length).toBeGreaterThan(3);
  expect(head).toMatch(/dispatch/i);
  // The portable kernel asks for nothing that a device may lack.
  if (!name.includes(".")) expect(text).not.toMatch(/^(enable|requires) /m);
});
