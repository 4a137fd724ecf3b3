/** The one line that the log has for a request, written when the request is over. */

import type { EndEvent } from "../engine/events.ts";

export class AccessRecord {
  promptTokens: number | undefined;
  completionTokens: number | undefined;
  finishReason: string | undefined;
  #deferred = false;
  readonly #write: (record: AccessRecord) => void;

  /** @param write called once */
  constructor(write: (record: AccessRecord) => void) {
    this.#write = once(write);
  }

  /** Adds what a generation came to; the choices of one request add up. */
  count(end: EndEvent): void {
    this.promptTokens = (this.promptTokens ?? 0) + end.usage.promptTokens;
    this.completionTokens = (this.completionTokens ?? 0) + end.usage.completionTokens;
    this.finishReason = end.finishReason;
  }

  /** For answers that go on after their head was sent: the line is written when the result is called. */
  defer(): () => void {
    this.#deferred = true;
    return () => this.#write(this);
  }

  /** The answer's head is there: writes the line unless the answer goes on. */
  headSent(): void {
    if (!this.#deferred) this.#write(this);
  }
}

function once<T>(action: (value: T) => void): (value: T) => void {
  let done = false;
  return (value) => {
    if (done) return;
    done = true;
    action(value);
  };
}
