/**
 * Compiled grammars for the server, and the way from the engine's thread to them.
 *
 *     compile ── checks ── trial thread (ended when it takes too long) ── lane (keeps and follows)
 *     engine's thread ── port ── here ── lane, and from then on over a port of the output's own
 *
 * No thread is started before the first grammar.
 */

import { createHash } from "node:crypto";
import { assert } from "../assert.ts";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { checkGrammar, type GrammarSource } from "./check.ts";
import type { GrammarLease, Grammars, GrammarSpec } from "./grammar.ts";
import { Lane } from "./lane.ts";
import type { EngineMessage, GrammarsLost, MatcherReply } from "./messages.ts";
import { Trial } from "./trial.ts";
import { type GrammarVocabulary, packVocabulary } from "./vocabulary.ts";

/** Grammars whose thread can be reached from the engine's. */
export interface OpenGrammars extends Grammars {
  /** The other end of what `grammarConstraint` takes; to be transferred to the engine's thread. */
  port(): MessagePort;
  /** Ends all threads; outputs that follow a grammar fail. */
  close(): void;
}

interface Entry {
  readonly id: number;
  readonly key: string;
  /** Undefined until the trial has told which. */
  lane: Lane | undefined;
  leases: number;
  /** Settles when the grammar can be followed, or cannot be used. */
  ready: Promise<void>;
}

/** Starts nothing: threads come with the first grammar. */
export function openGrammars(vocabulary: GrammarVocabulary): OpenGrammars {
  return new GrammarStore(vocabulary);
}

class GrammarStore implements OpenGrammars {
  readonly #trial: Trial;
  /** For grammars that compile in no time, and for the others: these delay each other only. */
  readonly #quick: Lane;
  readonly #slow: Lane;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<number, Entry>();
  readonly #ports = new Set<MessagePort>();
  #lastId = 0;
  #closed = false;

  constructor(vocabulary: GrammarVocabulary) {
    const packed = packVocabulary(vocabulary);
    this.#trial = new Trial(packed);
    this.#quick = new Lane(packed, () => this.#lost(this.#quick));
    this.#slow = new Lane(packed, () => this.#lost(this.#slow));
  }

  async compile(spec: GrammarSpec): Promise<GrammarLease> {
    const source = checkGrammar(spec);
    if (this.#closed) throw new ArcticError("engine_grammar", "Grammars are closed.");
    const key = createHash("sha256").update(`${source.kind}\n${source.text}`).digest("hex");
    const entry = this.#entries.get(key) ?? this.#add(key, source);
    entry.leases++;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict();
    try {
      await entry.ready;
    } catch (error) {
      entry.leases--;
      this.#remove(entry);
      throw error;
    }
    let released = false;
    return {
      id: entry.id,
      release: () => {
        if (!released) this.#release(entry);
        released = true;
      },
    };
  }

  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: { data: EngineMessage }) => this.#fromEngine(data);
    this.#ports.add(port1);
    return port2;
  }

  close(): void {
    this.#closed = true;
    this.#trial.close();
    for (const lane of [this.#quick, this.#slow]) {
      this.#lost(lane);
      lane.stop();
    }
    for (const port of this.#ports) port.close();
    this.#ports.clear();
  }

  #add(key: string, source: GrammarSource): Entry {
    const id = ++this.#lastId;
    const entry: Entry = { id, key, lane: undefined, leases: 0, ready: Promise.resolve() };
    entry.ready = this.#build(entry, source);
    this.#entries.set(key, entry);
    this.#byId.set(id, entry);
    return entry;
  }

  async #build(entry: Entry, source: GrammarSource): Promise<void> {
    const { milliseconds } = await this.#trial.try(source);
    const lane = milliseconds <= limits.grammarQuickMilliseconds ? this.#quick : this.#slow;
    entry.lane = lane;
    await lane.keep(entry.id, source);
  }

  #release(entry: Entry): void {
    assert(entry.leases > 0, "a grammar was released more often than leased");
    entry.leases--;
    this.#evict();
    const { lane } = entry;
    if (!lane?.isOvergrown || this.#of(lane).some(({ leases }) => leases > 0)) return;
    for (const other of this.#of(lane)) this.#remove(other);
    lane.stop();
  }

  #evict(): void {
    let idle = [...this.#entries.values()].filter(({ leases }) => leases === 0);
    while (idle.length > limits.grammarsCached) {
      const [oldest, ...rest] = idle;
      if (oldest === undefined) return;
      this.#remove(oldest);
      oldest.lane?.forget(oldest.id);
      idle = rest;
    }
  }

  #remove(entry: Entry): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    this.#byId.delete(entry.id);
  }

  #of(lane: Lane): Entry[] {
    return [...this.#byId.values()].filter((entry) => entry.lane === lane);
  }

  #lost(lane: Lane): void {
    const entries = this.#of(lane);
    for (const entry of entries) this.#remove(entry);
    const message: GrammarsLost = { type: "lost", ids: entries.map(({ id }) => id) };
    for (const port of this.#ports) port.postMessage(message);
  }

  #fromEngine(message: EngineMessage): void {
    const lane = this.#byId.get(message.id)?.lane;
    if (message.type === "silent") return lane?.fail("it did not answer");
    if (lane !== undefined) return lane.open(message);
    const reply: MatcherReply = {
      code: "engine_grammar",
      message: "The grammar is not there any more. Send the request again.",
    };
    message.port.postMessage(reply);
    message.port.close();
  }
}
