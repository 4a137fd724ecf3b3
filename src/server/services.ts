/** What the routes are given: everything that is not HTTP, so that tests can give their own. */

import type { EngineDoor } from "../engine/door.ts";
import type { Grammars } from "../grammar/grammar.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";

/** The model behind the API, as clients see it. */
export interface ServedModel {
  /** The name that requests give and answers carry. */
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  /** Identifies program version and weights in answers. */
  readonly fingerprint: string;
  /** Temperature of requests that name none. */
  readonly temperature: number;
  /** Ids that end a text; they can stand in a token-id prompt. */
  readonly hasChatTemplate: boolean;
  /** System message of chats that have none: the embedded model needs a schema. */
  readonly defaultSystem: string | undefined;
}

/** Text to tokens and back. Long texts are encoded in a worker: the event loop stays free. */
export interface TextService {
  /** @param bos whether the token that begins a text comes first; by default as the model says */
  encode(text: string, options?: { readonly bos?: boolean }): Promise<number[]>;
  encodeChat(messages: readonly ChatMessage[]): Promise<number[]>;
  /** The prompt that `encodeChat` would encode, as text. */
  renderChat(messages: readonly ChatMessage[]): Promise<string>;
  decode(ids: readonly number[]): Promise<string>;
  /** Bytes that a token adds to running text; none for special tokens. It needs no `this`. */
  readonly tokenBytes: (id: number) => Uint8Array;
  /** How the vocabulary spells a special token; empty for all others. It needs no `this`. */
  readonly specialText: (id: number) => string;
}

export interface Services {
  readonly engine: EngineDoor;
  readonly model: ServedModel;
  /** Undefined for a model without a tokenizer: it takes and gives token ids alone. */
  readonly text: TextService | undefined;
  readonly grammars: Grammars | undefined;
  /** Milliseconds, never going back. */
  readonly clock: () => number;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** A fresh random word of letters and digits, for ids; and a fresh seed. */
  readonly randomId: () => string;
  readonly randomSeed: () => number;
  /** Whether the engine can take requests; absent: always. */
  readonly isUp?: () => boolean;
}
