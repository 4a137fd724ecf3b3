/** `arctic synth`: a model of any shape with random weights. */

import { parseConfigFile } from "../../weights-manifest/checkpoint.ts";
import { synth as synthesise } from "../../weights-manifest/synth.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Context } from "./context.ts";
import type { Invocation } from "./flags.ts";
import { reportModel } from "./model-report.ts";
import { readBytesFile } from "./input.ts";
import { fileProgress } from "./file-progress.ts";

/** @throws ArcticError `config_…` or `disk_…` */
export async function synth(invocation: Invocation<"synth">, context: Context): Promise<ExitCode> {
  const [path = "", out = ""] = invocation.arguments;
  const { seed = 0, sparse, force, json } = invocation.options;
  const { signal, messages } = context;
  const onProgress = fileProgress(messages);
  const config = parseConfigFile(path, await readBytesFile(path, limits.configBytes, signal));
  const { manifest } = await synthesise(config, out, { seed, sparse, force, signal, onProgress });
  await reportModel(out, manifest, json, context);
  return Exit.done;
}
