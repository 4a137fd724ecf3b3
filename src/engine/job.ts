/** What the scheduler runs: a sequence, and somebody who takes the logits of its tokens. */

import type { Channel } from "./channel.ts";
import type { EngineEvent } from "./events.ts";
import type { Sequence } from "./sequence.ts";

export interface Job {
  readonly sequence: Sequence;
  readonly events: Channel<EngineEvent>;
  /** All tokens whose logits this job reads, or only the last of those pending. */
  readonly wants: "all" | "last";
  /**
   * Takes the logits of one row and the position of its token. Returns whether the job goes on; it
   * has pushed its `end` when not.
   */
  accept(logits: Float32Array, position: number): boolean;
  /** The rows up to `stored` have been through the model. */
  progress(stored: number): void;
  /** Pushes the `end` of a request that was given up. */
  cancel(): void;
}
