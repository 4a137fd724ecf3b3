/**
 * A backend whose answers depend on every token that a query can see, read from KV pages by the rules
 * of SequenceView. One wrong page, one stale entry, one token of another request: another answer.
 */

import type { Batch, SequenceView } from "../../src/model/backend.ts";
import { limits } from "../../src/limits.ts";
import { FakeBackend, VOCABULARY } from "./fake-backend.ts";

const NOTHING = -1;

export class PagedBackend extends FakeBackend {
  readonly #store: Int32Array;

  constructor(pages: number) {
    super();
    this.#store = new Int32Array(pages * limits.pageTokens).fill(NOTHING);
  }

  override begin(batch: Batch): void {
    super.begin(batch);
    for (const [row, token] of batch.tokens.entries()) {
      const { view, position } = place(batch, row);
      this.#store[this.#slot(view, position)] = token;
    }
  }

  override async logits(): Promise<Float32Array> {
    const batch = this.batches.at(-1) as Batch;
    // Batches are looked at by nobody here, and there are many.
    this.batches.length = 0;
    await this.onForward(batch);
    const out = new Float32Array(batch.logitRows.length * VOCABULARY);
    for (const [i, row] of batch.logitRows.entries()) {
      const { view, position } = place(batch, row);
      const seen = visible(view, position).map((p) => this.#store[this.#slot(view, p)] as number);
      const logits = out.subarray(i * VOCABULARY, (i + 1) * VOCABULARY);
      logits[nextToken(seen)] = 10;
      this.onLogits(logits);
    }
    return out;
  }

  #slot({ pages, sinks, ring }: SequenceView, position: number): number {
    const entry = position < sinks ? position : sinks + (position - sinks) % ring;
    const page = pages[Math.floor(entry / limits.pageTokens)];
    if (page === undefined) throw new Error(`position ${position} has no page`);
    return page * limits.pageTokens + entry % limits.pageTokens;
  }
}

function place(batch: Batch, row: number): { view: SequenceView; position: number } {
  const view = batch.sequences[batch.sequence[row] as number];
  if (view === undefined) throw new Error(`row ${row} has no sequence`);
  return { view, position: batch.position[row] as number };
}

/** Positions that the query at `position` sees. */
function visible({ sinks, window }: { sinks: number; window: number }, position: number): number[] {
  const n = Math.min(position, sinks + window) + 1;
  return Array.from({ length: n }, (_, j) => j < sinks ? j : position - (n - 1) + j);
}

/** The likeliest token after those seen; never the end of the text. */
function nextToken(seen: readonly number[]): number {
  let hash = 17;
  for (const token of seen) hash = Math.imul(hash ^ token, 0x01000193) ^ (hash >>> 13);
  return (hash >>> 0) % (VOCABULARY - 1);
}

/** What PagedBackend answers greedily to a prompt that is alone. */
export function answer(
  prompt: readonly number[],
  count: number,
  attention = { sinks: 0, window: Infinity },
): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const seen = visible(attention, tokens.length - 1).map((p) => tokens[p] as number);
    tokens.push(nextToken(seen));
  }
  return tokens.slice(prompt.length);
}
