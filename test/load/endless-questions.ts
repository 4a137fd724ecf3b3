/** Leaves the answers to the model and writes the user's turns itself: questions from the generator. */

import type { TokenConstraint } from "../../src/engine/request.ts";
import { makeCase } from "../../src/sql/generator.ts";
import { seededRandom } from "../../src/sql/random.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

const DEMO = { split: "seen", demo: 1, maxTables: 4, columns: [2, 5], namedKeys: 0 } as const;

/** Questions about the demo shop and their SQL, without end. */
export function* demoTurns(seed: string): Generator<{ question: string; sql: string }> {
  const random = seededRandom(seed);
  for (;;) yield* makeCase(random, { ...DEMO, questions: 8 }).questions;
}

/** A constraint that forces a question after every answer. */
export class AskedQuestions implements TokenConstraint {
  /** The SQL for each question that was asked, to be taken away by whoever reads the answers. */
  readonly references: string[] = [];
  forcedTokens = 0;
  readonly #tokenizer: Tokenizer;
  readonly #turns: ReturnType<typeof demoTurns>;
  /** What lies between two messages. */
  readonly #between: number;
  /** Tokens that are yet to be forced, the last of them first. */
  readonly #forced: number[] = [];

  constructor(tokenizer: Tokenizer, seed: string) {
    this.#tokenizer = tokenizer;
    this.#turns = demoTurns(seed);
    const example = tokenizer.encodeChat([{ role: "user", content: "x" }]);
    this.#between = example[example.indexOf(tokenizer.eosToken ?? -1) + 1] as number;
  }

  /** The next question; its SQL joins `references`. */
  next(): string {
    const { question, sql } = this.#turns.next().value as { question: string; sql: string };
    this.references.push(sql);
    return question;
  }

  admits(token: number): boolean {
    return this.#forced.length === 0 || token === this.#forced.at(-1);
  }

  accept(token: number): void {
    if (this.#forced.length > 0) {
      this.#forced.pop();
      this.forcedTokens += 1;
    } else if (token === this.#tokenizer.eosToken) {
      const turn = this.#tokenizer.encodeChat([{ role: "user", content: this.next() }]);
      this.#forced.push(...[this.#between, ...turn].reverse());
    }
  }
}
