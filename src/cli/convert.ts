/** `arctic convert`: a Hugging Face checkpoint becomes a model folder. */

import { convert as convertCheckpoint } from "../../weights-manifest/convert.ts";
import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import type { Context } from "./context.ts";
import type { Invocation } from "./flags.ts";
import { reportModel } from "./model-report.ts";
import { fileProgress } from "./file-progress.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";

/** @throws ArcticError `weights_…`, `config_…` or `disk_…` */
export async function convert(
  invocation: Invocation<"convert">,
  context: Context,
): Promise<ExitCode> {
  const [source = "", out = ""] = invocation.arguments;
  const { force, json } = invocation.options;
  const { signal, messages } = context;
  const onProgress = fileProgress(messages);
  const checkKept = (files: ReadonlyMap<string, Uint8Array>) => checkTokenizer(files, context);
  const { manifest, resumed } = await convertCheckpoint(source, out, {
    force,
    signal,
    onProgress,
    checkKept,
  });
  if (resumed) messages.line("Took up a conversion that had been interrupted.");
  await reportModel(out, manifest, json, context);
  return Exit.done;
}

/**
 * A tokenizer that cannot be loaded is found out before hours of conversion, not after. tokenizer.json
 * is not used where there is a tokenizer.model: then it may be of a kind that arctic does not know,
 * but not damaged or hostile.
 * @throws ArcticError `tokenizer_…`
 */
function checkTokenizer(files: ReadonlyMap<string, Uint8Array>, { messages }: Context): void {
  const config = files.get("tokenizer_config.json");
  const model = files.get("tokenizer.model");
  const json = files.get("tokenizer.json");
  if (model !== undefined) Tokenizer.load({ model, config });
  if (json === undefined) return;
  try {
    Tokenizer.load({ json, config });
  } catch (error) {
    const unused = model !== undefined && error instanceof ArcticError &&
      error.code === "tokenizer_unsupported";
    if (!unused) throw error;
    messages.line(`tokenizer.json will not be used, tokenizer.model will: ${error.message}`);
  }
}
