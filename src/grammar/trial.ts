import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { GrammarSource } from "./check.ts";
import type { ThreadReply } from "./messages.ts";
import { GrammarThread } from "./thread.ts";
import type { PackedVocabulary } from "./vocabulary.ts";

/** What a trial found out about a grammar that passed. */
export interface Tried {
  readonly milliseconds: number;
}

type Verdict = Exclude<ThreadReply, { type: "started" }> | { readonly type: "late" } | {
  readonly type: "lost";
  readonly error: ArcticError;
};

/**
 * Compiles grammars that nobody has vouched for, one at a time, in a thread that is ended when one takes
 * too long or breaks it. The next thread is made ready at once, while nobody waits.
 */
export class Trial {
  readonly #vocabulary: PackedVocabulary;
  #thread: GrammarThread | undefined;
  #verdict: ((verdict: Verdict) => void) | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #id = 0;
  #closed = false;

  constructor(vocabulary: PackedVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /**
   * @throws ArcticError `request_bad_grammar` for a grammar that cannot be used; `engine_queue_full` when
   *   too many wait for their trial; `engine_grammar` when there is no thread to be had
   */
  async try(source: GrammarSource): Promise<Tried> {
    if (this.#waiting >= limits.grammarsWaiting) {
      throw new ArcticError(
        "engine_queue_full",
        `${this.#waiting} grammars wait to be compiled. Try again in a moment.`,
      );
    }
    this.#waiting++;
    const tried = this.#last.then(() => this.#run(source));
    this.#last = tried.catch(() => {}).finally(() => this.#waiting--);
    return await tried;
  }

  close(): void {
    this.#closed = true;
    this.#thread?.stop();
    this.#verdict?.({ type: "lost", error: closedError() });
  }

  async #run(source: GrammarSource): Promise<Tried> {
    const thread = this.#ready();
    await thread.started;
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const id = ++this.#id;
    const stop = whenLate(thread, () => resolve({ type: "late" }));
    this.#verdict = resolve;
    thread.post({ type: "try", id, source });
    const verdict = await promise;
    stop();
    this.#verdict = undefined;
    return this.#judge(verdict);
  }

  #judge(verdict: Verdict): Tried {
    switch (verdict.type) {
      case "compiled":
        if (verdict.heapBytes > limits.grammarHeapBytes) {
          this.#replace();
          throw unusable("it takes too much memory to compile");
        }
        return verdict;
      case "refused":
        throw unusable(verdict.reason);
      case "broken":
        this.#replace();
        throw unusable(`it could not be compiled: ${verdict.reason}`);
      case "late":
        this.#replace();
        throw unusable(
          `it took too long to compile, more than ${limits.grammarMilliseconds} ms. Patterns that ` +
            "count far and many optional properties are what takes longest",
        );
      case "lost":
        if (this.#closed) throw verdict.error;
        this.#replace();
        throw unusable("it could not be compiled: the compiler did not survive it");
    }
  }

  #ready(): GrammarThread {
    if (this.#closed) throw closedError();
    return this.#thread ??= this.#start();
  }

  #replace(): void {
    this.#thread?.stop();
    this.#thread = this.#closed ? undefined : this.#start();
  }

  #start(): GrammarThread {
    const thread = new GrammarThread(this.#vocabulary, {
      reply: (reply) => {
        // Before it has started, a thread that is broken is one that cannot be used at all.
        if (reply.type === "broken" && reply.id === undefined) thread.fail(reply.reason);
        else this.#verdict?.(reply);
      },
      lost: (error) => {
        if (this.#thread === thread) this.#thread = undefined;
        this.#verdict?.({ type: "lost", error });
      },
    });
    return thread;
  }
}

/**
 * Calls `late` when time is up, unless the thread had no processor for most of it: a busy machine makes
 * no grammar look slow. Returns what calls that off.
 */
function whenLate(thread: GrammarThread, late: () => void): () => void {
  const before = thread.computed ?? 0;
  const started = performance.now();
  const look = () => {
    const waited = performance.now() - started;
    if (waited < limits.grammarMilliseconds) return;
    const computed = (thread.computed ?? Infinity) - before;
    const isSlow = computed >= limits.grammarComputedMilliseconds;
    if (isSlow || waited >= limits.grammarWaitMilliseconds) late();
  };
  const timer = setInterval(look, limits.grammarLookMilliseconds);
  return () => clearInterval(timer);
}

function unusable(why: string): ArcticError {
  return new ArcticError("request_bad_grammar", `The grammar cannot be used: ${why}.`);
}

function closedError(): ArcticError {
  return new ArcticError("engine_grammar", "Grammars are closed: the server is stopping.");
}
