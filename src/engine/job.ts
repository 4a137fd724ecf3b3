/** What the scheduler runs: a sequence, and somebody who takes the logits of its tokens. */

import type { Channel } from "./channel.ts";
import type { EngineEvent } from "./events.ts";
import type { Sequence } from "./sequence.ts";

export interface Job {
  readonly sequence: Sequence;
  readonly events: Channel<EngineEvent>;
  /** All tokens whose logits this job reads, or only the last of those pending. */
  readonly wants: "all" | "last";
  /** It has been given pages for the first time; `cached` tokens of its prompt were found. */
  admitted(cached: number): void;
  /** Resolves when `accept` can be called; undefined: at once. */
  ready(): Promise<void> | undefined;
  /**
   * Takes the logits of one row and the position of its token. Returns whether the job goes on; it
   * has pushed its `end` when not.
   * @throws ArcticError where this job alone cannot go on
   */
  accept(logits: Float32Array, position: number): boolean;
  /** The rows up to `stored` have been through the model. */
  progress(stored: number): void;
  /** Pushes the `end` of a request that was given up. */
  cancel(): void;
  /** It ends with an error. */
  fail(error: unknown): void;
}
