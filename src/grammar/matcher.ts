/** One output that follows a grammar, in the thread that holds the grammar. */

import type { GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { limits } from "../limits.ts";
import type { MatcherReply, MatcherRequest, SharedMask } from "./messages.ts";
import type { Utf8Text } from "./utf8.ts";

/**
 * The longest that following a grammar may take: each token pays in, up to what the first tokens have.
 * Ambiguous grammars cost more with every token, and others share the thread.
 */
export class Budget {
  #left: number = limits.grammarBurstMilliseconds;
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Whether what `run` took was still within the budget. */
  async spend(run: () => Promise<void>): Promise<boolean> {
    const started = this.#clock();
    await run();
    const left = this.#left + limits.grammarTokenMilliseconds - (this.#clock() - started);
    this.#left = Math.min(left, limits.grammarBurstMilliseconds);
    return left >= 0;
  }
}

export const TOO_SLOW = "it takes too long to follow: make it less ambiguous";

/** Answers a constraint's tokens with masks until it closes, or the grammar cannot be followed. */
export class MatcherServer {
  readonly #matcher: GrammarMatcher;
  readonly #text: Utf8Text;
  readonly #port: MessagePort;
  readonly #mask: SharedMask;
  readonly #eos: number;
  readonly #budget: Budget;
  #tokens = 0;
  #state: "open" | "ended" | "closed" = "open";
  #last: Promise<void>;

  /** @param broken told when the library failed, and with it the thread */
  constructor(
    matcher: GrammarMatcher,
    text: Utf8Text,
    { port, mask }: { readonly port: MessagePort; readonly mask: SharedMask },
    eos: number,
    budget: Budget,
    broken: (error: unknown) => void,
  ) {
    this.#matcher = matcher;
    this.#text = text;
    this.#port = port;
    this.#mask = mask;
    this.#eos = eos;
    this.#budget = budget;
    const inTurn = (run: () => Promise<void>) => this.#last.then(run).catch(broken);
    this.#last = this.#step(() => true).catch(broken);
    port.onmessage = ({ data }: { data: MatcherRequest }) => {
      this.#last = inTurn(() => data === "close" ? this.#close() : this.#accept(data));
    };
  }

  async #accept(token: number): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#state === "ended" || token === this.#eos) {
      // The library must not be asked about what follows the end: nothing but the end does.
      this.#state = "ended";
      this.#mask.fill(0, 1);
      this.#mask[1 + (this.#eos >>> 5)] = 1 << (this.#eos & 31);
      return this.#publish();
    }
    await this.#step(() => this.#text.accept(token) && this.#matcher.acceptToken(token));
  }

  async #step(accept: () => boolean): Promise<void> {
    let accepted = false;
    let empty = true;
    const inTime = await this.#budget.spend(async () => {
      accepted = accept();
      if (!accepted) return;
      const next = await this.#matcher.getNextTokenBitmask();
      this.#text.restrict(next);
      empty = next.every((word) => word === 0);
      this.#mask.set(next, 1);
    });
    if (!accepted) {
      return this.#fail({
        code: "engine_grammar",
        message: "A token was generated that it forbids",
      });
    }
    if (!inTime) return this.#refuse(TOO_SLOW);
    if (empty) return this.#refuse("it leads to a place where no token can follow");
    this.#publish();
  }

  #publish(): void {
    this.#tokens++;
    Atomics.store(this.#mask, 0, this.#tokens);
    this.#port.postMessage(this.#tokens satisfies MatcherReply);
  }

  #refuse(why: string): Promise<void> {
    return this.#fail({
      code: "request_bad_grammar",
      message: `The grammar cannot be used: ${why}.`,
    });
  }

  #fail(reply: MatcherReply): Promise<void> {
    this.#port.postMessage(reply);
    return this.#close();
  }

  #close(): Promise<void> {
    if (this.#state !== "closed") {
      this.#state = "closed";
      this.#matcher.dispose();
      this.#port.close();
    }
    return Promise.resolve();
  }
}
