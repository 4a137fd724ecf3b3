import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { GrammarSource } from "./check.ts";
import type { OpenMatcher, ThreadReply } from "./messages.ts";
import { GrammarThread } from "./thread.ts";
import type { PackedVocabulary } from "./vocabulary.ts";

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: ArcticError) => void;
}

/** A thread that keeps compiled grammars and follows them. It starts with the first of them. */
export class Lane {
  readonly #vocabulary: PackedVocabulary;
  readonly #onLost: () => void;
  readonly #pending = new Map<number, Pending>();
  #thread: GrammarThread | undefined;
  #heapBytes = 0;

  /** @param onLost told when the thread and all its grammars are gone; the next `keep` starts another */
  constructor(vocabulary: PackedVocabulary, onLost: () => void) {
    this.#vocabulary = vocabulary;
    this.#onLost = onLost;
  }

  /** Whether the thread has grown so large that it should be replaced when nobody needs it. */
  get isOvergrown(): boolean {
    return this.#heapBytes > limits.grammarHeapBytes;
  }

  /** Compiles a grammar that has passed its trial. @throws ArcticError `engine_grammar` */
  async keep(id: number, source: GrammarSource): Promise<void> {
    const thread = this.#thread ??= this.#start();
    await thread.started;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pending.set(id, { resolve, reject });
    const timer = setTimeout(
      () => thread.fail("it did not answer"),
      limits.grammarAnswerMilliseconds,
    );
    thread.post({ type: "keep", id, source });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  open(request: OpenMatcher): void {
    this.#thread?.post(request, [request.port]);
  }

  forget(id: number): void {
    this.#thread?.post({ type: "forget", id });
  }

  /** The thread is of no use any more: all its grammars are lost. */
  fail(reason: string): void {
    this.#thread?.fail(reason);
  }

  /** Ends the thread; nobody is told. */
  stop(): void {
    this.#thread?.stop();
    this.#thread = undefined;
    this.#heapBytes = 0;
    const error = new ArcticError("engine_grammar", "The thread that follows grammars was ended.");
    for (const { reject } of this.#pending.values()) reject(error);
  }

  #start(): GrammarThread {
    const thread: GrammarThread = new GrammarThread(this.#vocabulary, {
      reply: (reply) => this.#reply(thread, reply),
      lost: (error) => {
        if (this.#thread !== thread) return;
        this.#thread = undefined;
        this.#heapBytes = 0;
        for (const { reject } of this.#pending.values()) reject(error);
        this.#onLost();
      },
    });
    return thread;
  }

  #reply(thread: GrammarThread, reply: Exclude<ThreadReply, { type: "started" }>): void {
    if (reply.type !== "compiled") return thread.fail(reply.reason);
    this.#heapBytes = reply.heapBytes;
    this.#pending.get(reply.id)?.resolve();
  }
}
