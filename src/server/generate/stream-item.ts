/** What a stream consists of, whatever its encoding. */

import type { ErrorObject } from "../errors.ts";

export type StreamItem =
  | { readonly type: "chunk"; readonly value: object }
  /** A chunk that was kept: its JSON in UTF-8. */
  | { readonly type: "json"; readonly bytes: Uint8Array }
  /** `done` of `total` prompt tokens were read: for people who look, no part of the answer. */
  | { readonly type: "progress"; readonly done: number; readonly total: number }
  /** The last item of a stream that fails. */
  | { readonly type: "error"; readonly error: ErrorObject }
  /** The last item of one that does not. */
  | { readonly type: "done" };

/** Items that a client counts, and can ask for again. */
export type NumberedItem = Exclude<StreamItem, { type: "progress" }>;

export interface Encoder {
  readonly contentType: string;
  /** @param id under which it can be asked for again, where it can */
  item(item: NumberedItem, id: string | undefined): Uint8Array;
  progress(done: number, total: number): Uint8Array;
  /** Says nothing, and shows that the connection lives. */
  keepAlive(): Uint8Array;
}
