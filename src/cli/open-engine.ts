/** Opens a model on the backend that the user asked for. */

import { type Model, openModel } from "../../weights-manifest/reader.ts";
import { embeddedModelFolder } from "../embedded-model.ts";
import { backendOptions, Engine, type EngineOptions } from "../engine/engine.ts";
import { ArcticError, errorCode } from "../errors.ts";
import type { Backend, BackendOptions } from "../model/backend.ts";
import { Tokenizer, type TokenizerFiles } from "../tokenizer/tokenizer.ts";
import type { Messages } from "./messages.ts";
import { Progress, type ProgressMessages } from "./progress.ts";

/** What opening a model needs of a command's context, or of a thread that stands in for one. */
export interface Surroundings {
  readonly messages: Pick<Messages, "line"> & ProgressMessages;
  readonly signal: AbortSignal;
}

export interface OpenModel {
  readonly engine: Engine;
  readonly backend: Backend;
  readonly source: Model;
  /** Undefined for a model folder that has none. */
  readonly tokenizer: Tokenizer | undefined;
  /** Whether it is the model that the program carries. */
  readonly embedded: boolean;
  /** Releases the device and the files. */
  close(): void;
}

export interface RunOptions {
  readonly model: string | undefined;
  readonly backend: "auto" | "gpu" | "cpu";
  readonly io: "mmap" | "pread";
  readonly allowNan: boolean;
}

/**
 * Opens the model, its tokenizer and a device, and says on standard error what it runs on. Without
 * a model of the user's it is the embedded one.
 * @param kvTokens tokens whose keys and values are kept at once; by default those of one context
 * @throws ArcticError `usage_no_model`, or what reader, tokenizer and backend throw
 */
export async function openModelForRun(
  options: RunOptions,
  context: Surroundings,
  watcher: Pick<EngineOptions, "onProgress" | "onRouting"> = {},
  kvTokens?: number | ((source: Model) => number),
): Promise<OpenModel> {
  const folder = options.model ?? embeddedModelFolder();
  if (folder === undefined) {
    throw new ArcticError(
      "usage_no_model",
      "No model was given, and this build has none inside. Give --model DIR or set ARCTIC_MODEL.",
    );
  }
  const source = openModel(folder, { io: options.io, allowNan: options.allowNan });
  try {
    const files = tokenizerFiles(source);
    const tokenizer = files && Tokenizer.load(files);
    const extent = { kvTokens: typeof kvTokens === "function" ? kvTokens(source) : kvTokens ?? 0 };
    const forEngine = backendOptions(source, extent);
    const backend = await openBackend(options.backend, source, forEngine, context);
    const engine = await load(source, backend, tokenizer, context, { ...extent, ...watcher });
    const close = () => {
      // A device waits for all it was given. After an interrupt the process's end frees everything.
      if (context.signal.aborted) return;
      engine.close();
      source.close();
    };
    return { engine, backend, source, tokenizer, embedded: options.model === undefined, close };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** The files of the model's tokenizer, if it has one. */
export function tokenizerFiles(source: Model): TokenizerFiles | undefined {
  const model = source.file("tokenizer.model");
  const json = source.file("tokenizer.json");
  if (model === undefined && json === undefined) return undefined;
  return { model, json, config: source.file("tokenizer_config.json") };
}

async function load(
  source: Model,
  backend: Backend,
  tokenizer: Tokenizer | undefined,
  { messages, signal }: Surroundings,
  options: EngineOptions,
): Promise<Engine> {
  const progress = new Progress(messages, { label: "Loading", unit: "layers" });
  try {
    return await Engine.open(source, backend, {
      tokenizer: tokenizer && { textStream: (prompt) => tokenizer.detokenizer(prompt) },
      ...options,
      onLoad(done, total) {
        signal.throwIfAborted();
        progress.update(done, total);
      },
    });
  } catch (error) {
    backend.close();
    throw error;
  } finally {
    progress.end();
  }
}

/** What `auto` takes to mean that there is no adapter to run on, as opposed to one that fails. */
const NO_ADAPTER = new Set([
  "device_none",
  "device_open",
  "device_library",
  "device_library_missing",
  "device_library_unpack",
]);

async function openBackend(
  wanted: RunOptions["backend"],
  source: Model,
  options: BackendOptions,
  { messages }: Surroundings,
): Promise<Backend> {
  if (wanted === "cpu") return await openCpu(source, options);
  try {
    const { openGpuBackend } = await import("../backend/gpu/index.ts");
    const backend = await openGpuBackend(source, options);
    if (wanted === "auto") messages.line(`Running on the GPU backend: ${backend.device}.`);
    return backend;
  } catch (error) {
    const code = errorCode(error);
    if (wanted === "gpu" || code === undefined || !NO_ADAPTER.has(code)) throw error;
    messages.line((error as ArcticError).message);
    const backend = await openCpu(source, options);
    messages.line(`Running on the CPU backend: ${backend.device}.`);
    return backend;
  }
}

async function openCpu(source: Model, options: BackendOptions): Promise<Backend> {
  const { openCpuBackend } = await import("../backend/cpu/index.ts");
  return await openCpuBackend(source, options);
}
