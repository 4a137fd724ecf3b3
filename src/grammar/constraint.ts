/** Grammars in the engine's own thread: which tokens may come next, as another thread computes it. */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import {
  type EngineMessage,
  type GrammarsLost,
  type MatcherReply,
  type MatcherRequest,
  newMask,
  type SharedMask,
} from "./messages.ts";

/** The engine's `TokenConstraint` with all its parts. */
export interface GrammarConstraint {
  /** Whether a token may come next; to be asked once `ready` has resolved. */
  admits(token: number): boolean;
  /** The token that came: what may follow it is computed meanwhile. */
  accept(token: number): void;
  /**
   * @throws ArcticError `engine_grammar` when the thread that follows the grammar is lost;
   *   `request_bad_grammar` when the grammar leads nowhere or takes too long to follow
   */
  ready(): Promise<void>;
  /** The output is over, whether it was finished or not. */
  close(): void;
}

/**
 * @param port what `OpenGrammars.port` gave; one for all constraints of a thread
 * @param id a lease's, which must not be released before `close`
 * @param vocabulary logits of the model
 */
export function grammarConstraint(
  port: MessagePort,
  id: number,
  vocabulary: number,
): GrammarConstraint {
  return new PortConstraint(port, id, vocabulary);
}

class PortConstraint implements GrammarConstraint {
  readonly #control: MessagePort;
  readonly #id: number;
  readonly #matcher: MessagePort;
  readonly #mask: SharedMask;
  readonly #onControl: (event: { readonly data: GrammarsLost }) => void;
  /** What word 0 of the mask is when the mask is for the next token. */
  #wanted = 1;
  #error: ArcticError | undefined;
  #wake: (() => void) | undefined;

  constructor(control: MessagePort, id: number, vocabulary: number) {
    const { port1, port2 } = new MessageChannel();
    this.#control = control;
    this.#id = id;
    this.#matcher = port1;
    this.#mask = newMask(vocabulary);
    this.#onControl = ({ data }) => {
      if (data.ids.includes(id)) this.#fail("engine_grammar", LOST);
    };
    control.addEventListener("message", this.#onControl);
    control.start();
    port1.onmessage = ({ data }: { data: MatcherReply }) => {
      if (typeof data !== "number") this.#fail(data.code, data.message);
      else if (data === this.#wanted) this.#wake?.();
    };
    const open: EngineMessage = { type: "open", id, port: port2, mask: this.#mask };
    control.postMessage(open, [port2]);
  }

  admits(token: number): boolean {
    const word = this.#mask[1 + (token >>> 5)] ?? 0;
    return ((word >>> (token & 31)) & 1) === 1;
  }

  accept(token: number): void {
    this.#wanted++;
    this.#matcher.postMessage(token satisfies MatcherRequest);
  }

  async ready(): Promise<void> {
    if (this.#error) throw this.#error;
    if (Atomics.load(this.#mask, 0) === this.#wanted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#control.postMessage({ type: "silent", id: this.#id } satisfies EngineMessage);
      this.#fail("engine_grammar", LOST);
    }, limits.grammarAnswerMilliseconds);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
    if (this.#error) throw this.#error;
  }

  close(): void {
    this.#control.removeEventListener("message", this.#onControl);
    this.#matcher.postMessage("close" satisfies MatcherRequest);
    this.#matcher.close();
    this.#fail("engine_grammar", "The request is over.");
  }

  #fail(code: "engine_grammar" | "request_bad_grammar", message: string): void {
    this.#error ??= new ArcticError(code, message);
    this.#wake?.();
  }
}

const LOST = "The thread that follows the grammar was lost. Send the request again.";
