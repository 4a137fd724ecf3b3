/** `arctic convert`: a Hugging Face checkpoint becomes a model folder. */

import { convert as convertCheckpoint } from "../../weights-manifest/convert.ts";
import { Exit, type ExitCode } from "../errors.ts";
import type { Context } from "./context.ts";
import type { Invocation } from "./flags.ts";
import { reportModel } from "./model-report.ts";
import { fileProgress } from "./file-progress.ts";

/** @throws ArcticError `weights_…`, `config_…` or `disk_…` */
export async function convert(
  invocation: Invocation<"convert">,
  context: Context,
): Promise<ExitCode> {
  const [source = "", out = ""] = invocation.arguments;
  const { force, json } = invocation.options;
  const { signal, messages } = context;
  const onProgress = fileProgress(messages);
  const { manifest, resumed } = await convertCheckpoint(source, out, { force, signal, onProgress });
  if (resumed) messages.line("Took up a conversion that had been interrupted.");
  await reportModel(out, manifest, json, context);
  return Exit.done;
}
