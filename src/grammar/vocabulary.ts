/** A model's vocabulary as grammars see it: the bytes that each token adds to the text. */

import { assert } from "../assert.ts";

export interface GrammarVocabulary {
  /** Bytes of each token; empty for special tokens, which no text holds. */
  readonly tokens: readonly Uint8Array[];
  /** The token that ends a text. */
  readonly eos: number;
  /** Logits of the model: at least as many as there are tokens. */
  readonly size: number;
}

/** A vocabulary in shared memory, so that giving it to a thread copies nothing. */
export interface PackedVocabulary {
  readonly bytes: Uint8Array;
  /** Token i is bytes[offsets[i] .. offsets[i + 1]). */
  readonly offsets: Uint32Array;
  readonly eos: number;
  readonly size: number;
}

export function packVocabulary({ tokens, eos, size }: GrammarVocabulary): PackedVocabulary {
  assert(eos >= 0 && eos < tokens.length, "the end-of-sequence token is not in the vocabulary");
  assert(size >= tokens.length, "the model has fewer logits than its vocabulary has tokens");
  const total = tokens.reduce((sum, token) => sum + token.length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  const offsets = new Uint32Array(new SharedArrayBuffer(4 * (tokens.length + 1)));
  let at = 0;
  for (const [i, token] of tokens.entries()) {
    bytes.set(token, at);
    at += token.length;
    offsets[i + 1] = at;
  }
  return { bytes, offsets, eos, size };
}

/** Copies of the tokens' bytes. */
export function unpackTokens({ bytes, offsets }: PackedVocabulary): Uint8Array[] {
  return Array.from(
    { length: offsets.length - 1 },
    (_, i) => bytes.slice(offsets[i], offsets[i + 1]),
  );
}
