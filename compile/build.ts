/**
 * Compiles arctic to one file that carries the runtime, the kernels, the WebGPU library and a model.
 *
 *     bun compile/build.ts                     dist/arctic, for this machine
 *     bun compile/build.ts --target NAME       dist/arctic-NAME (NAME: see targets.ts)
 *     bun compile/build.ts --out FILE          elsewhere
 *
 * The file is written under another name, then renamed, so that a build can be cut off or run twice
 * at once. Its time is that of the build's start: a source changed meanwhile is newer.
 */

import { globSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { embeddedSource, kernelNames } from "./embed.ts";
import { embedModel } from "./embedded-model.ts";
import { nativeLibrary } from "./native-library.ts";
import { packageFolder } from "./packages.ts";
import { hostTarget, type Target, targets } from "./targets.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const MODEL = join(ROOT, "weights-manifest", "arctic-tiny-sql", "model");

export interface Built {
  readonly file: string;
  readonly target: Target;
  /** Why the file cannot use a GPU; null when it can. */
  readonly withoutGpu: string | null;
  /** Whether the file carries a model. */
  readonly withModel: boolean;
}

/**
 * @param modelFolder the model to embed; where there is no such folder the program has none
 * @throws Error when the sources do not compile, the model is too large, or Bun's runtime for the
 *   target is not to be had
 */
export async function build(target: Target, file: string, modelFolder = MODEL): Promise<Built> {
  const started = new Date();
  await checkKernels();
  const library = nativeLibrary(target);
  const model = embedModel(modelFolder);
  // The name is in the binary: only the folder differs from build to build.
  mkdirSync(dirname(file), { recursive: true });
  const folder = mkdtempSync(join(dirname(file), ".build-"));
  const partial = join(folder, basename(file));
  try {
    const result = await Bun.build({
      // Modules that run in a worker are programs of their own. In the binary they lie at their
      // path below `root`, as JavaScript, while main's address is the top folder.
      entrypoints: [join(ROOT, "src", "main.ts"), ...workers()],
      root: ROOT,
      format: "esm",
      minify: true,
      // Twice as quick to start, for 3 MB.
      bytecode: true,
      plugins: [library.plugin, model.plugin],
      compile: {
        target: target.bun,
        outfile: partial,
        ...runtime(target),
        // Files that happen to lie in the working directory are none of the program's business.
        autoloadDotenv: false,
        autoloadBunfig: false,
      },
      throw: false,
    });
    if (!result.success) throw new Error(result.logs.map(String).join("\n"));
    utimesSync(partial, started, started);
    renameSync(partial, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { file, target, withoutGpu: library.missing, withModel: model.present };
}

/** This machine's runtime is the one that is running; others come from npm. */
function runtime(target: Target): { executablePath?: string } {
  if (target.name === hostTarget()?.name) return {};
  const name = target.suffix === "" ? "bun" : "bun.exe";
  return { executablePath: join(packageFolder(target.runtimePackage), "bin", name) };
}

function workers(): string[] {
  return ["src", "weights-manifest"].flatMap((folder) =>
    globSync("**/*-worker.ts", { cwd: join(ROOT, folder) }).map((path) => join(ROOT, folder, path))
  ).sort();
}

async function checkKernels(): Promise<void> {
  const written = await Bun.file(join(ROOT, "src", "embedded.ts")).text();
  if (written === embeddedSource(kernelNames())) return;
  throw new Error("src/embedded.ts does not list the files of kernels/: run bun compile/embed.ts.");
}

function findTarget(name: string | undefined): Target {
  const found = name === undefined
    ? hostTarget()
    : targets.find((target) => target.name === name.replace(/^bun-/, ""));
  if (found !== undefined) return found;
  const names = targets.map((target) => target.name).join(", ");
  throw new Error(
    name === undefined
      ? `arctic is not built for ${process.platform}-${process.arch}; --target takes ${names}.`
      : `--target ${name} is not known; it takes ${names}.`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { target: { type: "string" }, out: { type: "string" } },
  });
  const target = findTarget(values.target);
  const name = values.target === undefined ? "arctic" : `arctic-${target.name}`;
  const file = resolve(values.out ?? join(ROOT, "dist", name + target.suffix));
  const built = await build(target, file);
  const megabytes = (Bun.file(built.file).size / 1e6).toFixed(0);
  console.error(`${relative(process.cwd(), built.file)}: ${target.name}, ${megabytes} MB`);
  if (built.withoutGpu !== null) console.error(`warning: CPU backend only: ${built.withoutGpu}`);
  if (!built.withModel) console.error("warning: no embedded model: there is none in the checkout.");
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
