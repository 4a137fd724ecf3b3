/** Opens a model on the backend that the user asked for. */

import { type Model, openModel } from "../../weights-manifest/reader.ts";
import { embeddedModelFolder } from "../embedded-model.ts";
import { backendOptions, Engine, type EngineOptions } from "../engine/engine.ts";
import { ArcticError, errorCode } from "../errors.ts";
import type { Backend, BackendOptions } from "../model/backend.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Context } from "./context.ts";
import { Progress } from "./progress.ts";

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
 * @param onRouting sees which experts every row was routed to
 * @throws ArcticError `usage_no_model`, or what reader, tokenizer and backend throw
 */
export async function openModelForRun(
  options: RunOptions,
  context: Context,
  onRouting?: EngineOptions["onRouting"],
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
    const tokenizer = loadTokenizer(source);
    const backend = await openBackend(options.backend, source, backendOptions(source), context);
    const engine = await load(source, backend, tokenizer, context, onRouting);
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

/** The tokenizer among the model's files, if there is one. */
function loadTokenizer(source: Model): Tokenizer | undefined {
  const model = source.file("tokenizer.model");
  const json = source.file("tokenizer.json");
  if (model === undefined && json === undefined) return undefined;
  return Tokenizer.load({ model, json, config: source.file("tokenizer_config.json") });
}

async function load(
  source: Model,
  backend: Backend,
  tokenizer: Tokenizer | undefined,
  { messages, signal }: Context,
  onRouting: EngineOptions["onRouting"],
): Promise<Engine> {
  const progress = new Progress(messages, { label: "Loading", unit: "layers" });
  try {
    return await Engine.open(source, backend, {
      tokenizer: tokenizer && { textStream: (prompt) => tokenizer.detokenizer(prompt) },
      onRouting,
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
  { messages }: Context,
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
