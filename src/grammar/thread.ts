import { ArcticError } from "../errors.ts";
import { workerUrl } from "../worker-url.ts";
import type { ThreadReply, ThreadRequest } from "./messages.ts";
import { computedMilliseconds } from "./thread-time.ts";
import type { PackedVocabulary } from "./vocabulary.ts";

/** A grammar thread as the main thread sees it: it answers, or it is lost. */
export class GrammarThread {
  /**
   * Settles when the vocabulary is read; rejects when the thread was lost before.
   */
  readonly started: Promise<void>;
  readonly #worker: Worker;
  readonly #lost: (error: ArcticError) => void;
  #task: string | undefined;
  #isLost = false;

  /**
   * @param events.lost called once, when the thread ends for whatever reason but `stop`
   */
  constructor(
    vocabulary: PackedVocabulary,
    events: {
      readonly reply: (reply: Exclude<ThreadReply, { type: "started" }>) => void;
      readonly lost: (error: ArcticError) => void;
    },
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.started = promise;
    // Whoever waits is told; nobody has to.
    promise.catch(() => {});
    this.#lost = (error) => {
      reject(error);
      events.lost(error);
    };
    this.#worker = new Worker(workerUrl("src/grammar/grammar-worker"));
    this.#worker.onmessage = ({ data }: MessageEvent<ThreadReply>) => {
      if (this.#isLost) return;
      if (data.type !== "started") return events.reply(data);
      this.#task = data.task;
      // Idle threads do not keep the process alive.
      this.#worker.unref();
      resolve();
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.fail(event.message);
    };
    this.#worker.addEventListener("close", () => this.fail("it ended"));
    this.post({ type: "start", vocabulary });
  }

  /** Milliseconds that it has computed; undefined where nobody tells. */
  get computed(): number | undefined {
    return computedMilliseconds(this.#task);
  }

  post(request: ThreadRequest, transfer: readonly MessagePort[] = []): void {
    if (!this.#isLost) this.#worker.postMessage(request, [...transfer]);
  }

  /** Ends the thread as one that can do no more. */
  fail(reason: string): void {
    if (this.#isLost) return;
    this.stop();
    this.#lost(
      new ArcticError(
        "engine_grammar",
        `The thread that follows grammars has failed: ${reason}. Send the request again.`,
      ),
    );
  }

  /** Ends the thread, whatever it is doing. */
  stop(): void {
    this.#isLost = true;
    this.#worker.terminate();
  }
}
