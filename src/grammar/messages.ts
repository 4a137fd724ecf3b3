/** What the threads of grammars tell each other. Grammars are known by the numbers of their leases. */

import type { GrammarSource } from "./check.ts";
import type { PackedVocabulary } from "./vocabulary.ts";

/** Main thread to a grammar thread. */
export type ThreadRequest =
  | { readonly type: "start"; readonly vocabulary: PackedVocabulary }
  /** Compile, follow for some tokens, forget. */
  | { readonly type: "try"; readonly id: number; readonly source: GrammarSource }
  /** Compile and keep. */
  | { readonly type: "keep"; readonly id: number; readonly source: GrammarSource }
  | { readonly type: "forget"; readonly id: number }
  | OpenMatcher;

/** Follow a grammar for one output, over a port of its own. */
export interface OpenMatcher {
  readonly type: "open";
  readonly id: number;
  readonly port: MessagePort;
  readonly mask: SharedMask;
}

/** A grammar thread to the main thread. */
export type ThreadReply =
  | {
    readonly type: "started";
    /** What `computedMilliseconds` knows the thread by. */
    readonly task: string | undefined;
  }
  | {
    readonly type: "compiled";
    readonly id: number;
    /** Of compiling alone. */
    readonly milliseconds: number;
    readonly heapBytes: number;
  }
  | { readonly type: "refused"; readonly id: number; readonly reason: string }
  /** The compiler is in no state to go on: the thread is to be replaced. */
  | { readonly type: "broken"; readonly id: number | undefined; readonly reason: string };

/** The engine's thread to the main thread: a matcher to pass on, or one whose thread does not answer. */
export type EngineMessage = OpenMatcher | { readonly type: "silent"; readonly id: number };

/** The main thread to the engine's: the thread that followed these grammars is no more. */
export interface GrammarsLost {
  readonly type: "lost";
  readonly ids: readonly number[];
}

/** A constraint to its matcher: the token that was generated, or that there will be none. */
export type MatcherRequest = number | "close";

/** A matcher to its constraint: the mask after this many tokens is in, or the matcher has ended. */
export type MatcherReply = number | {
  readonly code: "engine_grammar" | "request_bad_grammar";
  readonly message: string;
};

/**
 * Which tokens may come next, in memory that a matcher writes and its constraint reads: word 0 counts the
 * tokens that the mask follows, plus one; bit t % 32 of word 1 + floor(t / 32) is set where token t may
 * come.
 */
export type SharedMask = Int32Array<SharedArrayBuffer>;

/** @param vocabulary tokens */
export function newMask(vocabulary: number): SharedMask {
  return new Int32Array(new SharedArrayBuffer(4 * (1 + Math.ceil(vocabulary / 32))));
}
