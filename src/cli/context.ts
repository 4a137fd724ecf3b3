/** What a command may use of the process it runs in. */

import type { Messages } from "./messages.ts";
import type { Output } from "./output.ts";

export interface Context {
  readonly output: Output;
  readonly messages: Messages;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}
