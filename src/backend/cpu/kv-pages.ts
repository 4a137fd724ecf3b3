import type { SequenceView } from "../../model/backend.ts";

/** The un-rotated keys and the values of one layer, each [pages, pageTokens, kvHeads, headDim]. */
export interface KvPages {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Shape of attention: a row of qkv is [heads queries, kvHeads keys, kvHeads values] of headDim. */
export interface HeadShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly pageTokens: number;
}

/** Entries that a query at `position` sees, itself included. */
export function visibleEntries(view: SequenceView, position: number): number {
  return Math.min(position, view.sinks + view.window) + 1;
}

/** Row of [pages * pageTokens] in which `position` is stored. */
export function pageRow(view: SequenceView, position: number, pageTokens: number): number {
  const { sinks, ring } = view;
  const entry = position < sinks ? position : sinks + (position - sinks) % ring;
  return view.pages[Math.floor(entry / pageTokens)]! * pageTokens + entry % pageTokens;
}

/** Row of the entry in `slot` for a query at `position`. */
export function slotRow(
  view: SequenceView,
  position: number,
  slot: number,
  pageTokens: number,
): number {
  if (slot < view.sinks) return pageRow(view, slot, pageTokens);
  const first = position - (visibleEntries(view, position) - 1);
  return pageRow(view, first + slot, pageTokens);
}
