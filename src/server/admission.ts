/**
 * Who may ask for a generation now. It bounds the choices that are running or waiting, of all keys
 * together and of each one, so that the queue and its memory never grow with the number of clients.
 */

import { assert } from "../assert.ts";
import { notReady, queueFull } from "./errors.ts";

export interface AdmissionLimits {
  readonly maxChoices: number;
  readonly maxChoicesPerKey: number;
}

/** A place for some choices; released once, however often it is asked to. */
export interface Ticket {
  release(): void;
}

/** Holds places for clients who are gone and may come back; whoever is there goes first. */
export interface Waiting {
  /** Places that can be given up, of one key or of all. */
  places(keyIdentity?: string): number;
  /** Gives up those of whoever is gone for longest, at once; false where there are none. */
  giveUp(keyIdentity?: string): boolean;
  /** Gives up all, and holds none from now on. */
  end(): void;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #perKey = new Map<string, number>();
  #choices = 0;
  #draining = false;
  readonly #stop = new AbortController();
  #whenEmpty: (() => void)[] = [];
  #waiting: Waiting | undefined;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Choices admitted and not released. */
  get choices(): number {
    return this.#choices;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  /** Places that `waiting` holds are given up for requests that would be refused, and at the end. */
  reclaimFrom(waiting: Waiting): void {
    this.#waiting = waiting;
  }

  /**
   * Takes a place for `choices` choices of one key.
   * @throws ApiError 429 `queue_full` where there is none, 503 `not_ready` while draining
   */
  admit(keyIdentity: string, choices: number): Ticket {
    assert(
      Number.isInteger(choices) && choices >= 1,
      "a request without a choice was to be admitted",
    );
    if (this.#draining) throw notReady("The server is shutting down. Ask another one.");
    const { maxChoices, maxChoicesPerKey } = this.#limits;
    this.#reclaim(keyIdentity, choices);
    if (this.#choices + choices > maxChoices) {
      throw queueFull(
        `The server has ${this.#choices} answers running or waiting, and takes ${maxChoices}. ` +
          "Try again when some have ended.",
      );
    }
    const own = this.#perKey.get(keyIdentity) ?? 0;
    if (own + choices > maxChoicesPerKey) {
      throw queueFull(
        `This API key has ${own} answers running or waiting, and may have ${maxChoicesPerKey}. ` +
          "Try again when some have ended.",
      );
    }
    this.#choices += choices;
    this.#perKey.set(keyIdentity, own + choices);
    return this.#ticket(keyIdentity, choices);
  }

  /** Aborted with an ApiError when what still runs has to end: streams then send it and close. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** No one is admitted from now on, so no one who is gone comes back. */
  drain(): void {
    this.#draining = true;
    this.#waiting?.end();
  }

  /** Ends what still runs. */
  stop(): void {
    this.#draining = true;
    this.#stop.abort(
      notReady("The server is shutting down, and this answer ends here unfinished."),
    );
  }

  /** Resolves when every ticket has been released. */
  empty(): Promise<void> {
    if (this.#choices === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Gives places up where that makes room for `choices` choices, and none where it does not. */
  #reclaim(keyIdentity: string, choices: number): void {
    const { maxChoices, maxChoicesPerKey } = this.#limits;
    const missing = () => this.#choices + choices - maxChoices;
    const missingOfKey = () => (this.#perKey.get(keyIdentity) ?? 0) + choices - maxChoicesPerKey;
    const waiting = this.#waiting;
    if (!waiting || missing() <= 0 && missingOfKey() <= 0) return;
    if (missing() > waiting.places() || missingOfKey() > waiting.places(keyIdentity)) return;
    while (missingOfKey() > 0 && waiting.giveUp(keyIdentity));
    while (missing() > 0 && waiting.giveUp());
  }

  #ticket(keyIdentity: string, choices: number): Ticket {
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        this.#release(keyIdentity, choices);
      },
    };
  }

  #release(keyIdentity: string, choices: number): void {
    const own = (this.#perKey.get(keyIdentity) ?? 0) - choices;
    this.#choices -= choices;
    assert(own >= 0 && this.#choices >= 0, "an admission was released twice");
    if (own === 0) this.#perKey.delete(keyIdentity);
    else this.#perKey.set(keyIdentity, own);
    if (this.#choices > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}
