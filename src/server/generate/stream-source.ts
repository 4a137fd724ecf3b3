/** Items of a stream with their numbers, for one reader who may leave. */

import type { StreamItem } from "./stream-item.ts";

export interface Numbered {
  readonly item: StreamItem;
  /**
   * Counts chunks, the error and the end, from 1; that of the item before for a progress. Undefined for
   * what is told to this reader alone, and cannot be asked for again.
   */
  readonly number: number | undefined;
}

export interface StreamSource {
  /** Under which its items can be asked for again; undefined where they cannot. */
  readonly id: string | undefined;
  /** Undefined after the last item. */
  next(): Promise<Numbered | undefined>;
  /** The reader is gone, or has read everything. It may be called without any `next` before it. */
  leave(): void;
}

/** A stream that ends with its reader. */
export function directSource(
  items: AsyncGenerator<StreamItem, void, undefined>,
  cancel: () => void,
): StreamSource {
  let number = 0;
  return {
    id: undefined,
    async next() {
      const { value, done } = await items.next();
      if (done || !value) return undefined;
      if (value.type !== "progress") number++;
      return { item: value, number };
    },
    leave() {
      cancel();
      void items.return();
    },
  };
}
