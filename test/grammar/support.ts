/** Vocabularies, a reader of lease ids, and outputs drawn at random under a grammar. */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type GrammarConstraint, grammarConstraint } from "../../src/grammar/constraint.ts";
import type { GrammarSpec } from "../../src/grammar/grammar.ts";
import { type OpenGrammars, openGrammars } from "../../src/grammar/grammars.ts";
import type { GrammarVocabulary } from "../../src/grammar/vocabulary.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

const EMBEDDED = new URL(
  "../../weights-manifest/arctic-tiny-sql/model/tokenizer.model",
  import.meta.url,
);
export const LLAMA = fileURLToPath(
  new URL("../../../shared/tokenizer/llama2.model", import.meta.url),
);
export const hasLlama = existsSync(LLAMA);
if (!hasLlama) console.warn(`skipped: there is no ${LLAMA}`);

/** @param padding logits beyond the tokens, as models pad them */
export function vocabularyOf(file: string, padding = 0): GrammarVocabulary {
  const tokenizer = Tokenizer.load({ model: readFileSync(file) });
  const tokens = Array.from(
    { length: tokenizer.vocabularySize },
    (_, id) => tokenizer.isSpecial(id) ? new Uint8Array(0) : tokenizer.tokenBytes(id),
  );
  return { tokens, eos: tokenizer.eosToken ?? 0, size: tokens.length + padding };
}

export const embedded = (): GrammarVocabulary => vocabularyOf(fileURLToPath(EMBEDDED), 7);

/** Grammars with a port, as the server and the engine have them. */
export class Bench {
  readonly vocabulary: GrammarVocabulary;
  readonly grammars: OpenGrammars;
  readonly port: MessagePort;

  constructor(vocabulary: GrammarVocabulary) {
    this.vocabulary = vocabulary;
    this.grammars = openGrammars(vocabulary);
    this.port = this.grammars.port();
  }

  constraint(id: number): GrammarConstraint {
    return grammarConstraint(this.port, id, this.vocabulary.size);
  }

  admitted(constraint: GrammarConstraint): number[] {
    return Array.from({ length: this.vocabulary.size }, (_, token) => token)
      .filter((token) => constraint.admits(token));
  }

  bytes(tokens: readonly number[]): Uint8Array {
    return Buffer.concat(tokens.map((token) => this.vocabulary.tokens[token] ?? new Uint8Array(0)));
  }

  /** As clients get it: with U+FFFD for bytes that are no character. */
  text(tokens: readonly number[]): string {
    return new TextDecoder().decode(this.bytes(tokens));
  }

  /** Ids whose bytes are those of `text`. */
  spelled(text: string): number[] {
    const wanted = Buffer.from(text);
    return [...this.vocabulary.tokens.keys()]
      .filter((id) => wanted.equals(this.vocabulary.tokens[id] ?? new Uint8Array(0)));
  }

  /** Draws an output: its tokens, and whether it came to its end. */
  async draw(spec: GrammarSpec, seed: number, maxTokens = 200): Promise<Drawn> {
    const lease = await this.grammars.compile(spec);
    const constraint = this.constraint(lease.id);
    try {
      return await this.follow(constraint, seed, maxTokens);
    } finally {
      constraint.close();
      lease.release();
    }
  }

  /** Seeded logits: the drawn token is uniform among the admitted ones, but ends are liked. */
  async follow(constraint: GrammarConstraint, seed: number, maxTokens: number): Promise<Drawn> {
    const random = mulberry(seed);
    const tokens: number[] = [];
    while (tokens.length < maxTokens) {
      await constraint.ready();
      const admitted = this.admitted(constraint);
      const closing = admitted.filter((id) => this.#closes(id));
      const from = closing.length > 0 && random() < 0.5 ? closing : admitted;
      const token = from[Math.floor(random() * from.length)];
      if (token === undefined) throw new Error("nothing is admitted");
      constraint.accept(token);
      if (token === this.vocabulary.eos) return { tokens, ended: true };
      tokens.push(token);
    }
    return { tokens, ended: false };
  }

  #closes(id: number): boolean {
    const bytes = this.vocabulary.tokens[id] ?? new Uint8Array(0);
    return id === this.vocabulary.eos ||
      (bytes.length === 1 && '"}],'.includes(String.fromCharCode(bytes[0] ?? 0)));
  }

  close(): void {
    this.port.close();
    this.grammars.close();
  }
}

export interface Drawn {
  readonly tokens: readonly number[];
  readonly ended: boolean;
}

/** Mulberry32: uniform in [0, 1). */
export function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
