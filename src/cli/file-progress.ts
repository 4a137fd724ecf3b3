/** Progress of what reads or writes a whole model folder. */

import type { Progress as FileProgress } from "../../weights-manifest/convert.ts";
import type { Messages } from "./messages.ts";
import { Progress } from "./progress.ts";

const labels: Readonly<Record<FileProgress["phase"], string>> = {
  convert: "Converting",
  finish: "Finishing",
  verify: "Verifying",
  synth: "Writing",
};

/** A receiver of progress that shows one bar a phase and removes it when all is done. */
export function fileProgress(messages: Messages): (progress: FileProgress) => void {
  let phase: FileProgress["phase"] | undefined;
  let bar: Progress | undefined;
  return (progress) => {
    if (progress.phase !== phase) {
      phase = progress.phase;
      bar = new Progress(messages, { label: labels[phase], unit: "B" });
    }
    bar?.update(progress.bytesDone, progress.bytesTotal);
    if (progress.bytesDone === progress.bytesTotal) bar?.end();
  };
}
