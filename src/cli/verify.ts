/** `arctic verify`: every checksum of a model folder. */

import { type Verification, verify as verifyModel } from "../../weights-manifest/verify.ts";
import { Exit, type ExitCode } from "../errors.ts";
import type { Context } from "./context.ts";
import { fileProgress } from "./file-progress.ts";
import type { Invocation } from "./flags.ts";
import { bytes } from "./units.ts";

/**
 * Exits with 1 and names what is damaged when anything is.
 * @throws ArcticError `weights_…` when the folder cannot be read as a model at all
 */
export async function verify(
  { options, arguments: [folder = ""] }: Invocation<"verify">,
  { messages, output, signal }: Context,
): Promise<ExitCode> {
  const found = await verifyModel(folder, { signal, onProgress: fileProgress(messages) });
  messages.status("");
  for (const { name, problem } of found.damaged) messages.line(`damaged: ${name}: ${problem}`);
  if (options.json) {
    await output.json({
      model: folder,
      sound: found.sound,
      damaged: found.damaged,
      checked: found.checked,
      unchecked: found.unchecked,
      nan_codes: found.nanCodes,
      bytes: found.bytes,
    });
  } else if (found.sound) await output.write(`${verdict(folder, found)}\n`);
  if (found.sound) return Exit.done;
  messages.error(
    `${folder} is damaged in ${found.damaged.length} places. Copy or convert the model again.`,
  );
  return Exit.failed;
}

function verdict(folder: string, { checked, unchecked, bytes: read }: Verification): string {
  const without = unchecked === 0
    ? ""
    : ` ${unchecked} tensors have no checksum: the model was made by \`arctic synth --sparse\`.`;
  return `${folder} is sound: ${checked} tensors, ${bytes(read)}.${without}`;
}
