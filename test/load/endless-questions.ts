/** The generator's questions one after the other, and a user who asks them. */

import type { TokenConstraint } from "../../src/engine/request.ts";
import { type Case, makeCase } from "../../src/sql/generator.ts";
import type { Split } from "../../src/sql/names.ts";
import type { Question } from "../../src/sql/phrase.ts";
import { seededRandom } from "../../src/sql/random.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

type Turn = Pick<Question, "question" | "sql">;

const SHAPE = { split: "seen", maxTables: 4, columns: [2, 5], namedKeys: 0 } as const;

/** Questions about the demo shop and their SQL, without end. */
export function* demoTurns(seed: string): Generator<Turn, never> {
  const random = seededRandom(seed);
  for (;;) yield* makeCase(random, { ...SHAPE, demo: 1, questions: 8 }).questions;
}

/** A schema of four tables with names from `split`, and `count` questions about it. */
export function generatedCase(seed: string, split: Split, count: number): Case {
  const random = seededRandom(seed);
  for (;;) {
    const made = makeCase(random, { ...SHAPE, split, demo: 0, questions: count });
    if (made.schema.tables.length === 4) return made;
  }
}

/** A constraint that leaves the answers to the model and forces a question after each. */
export class AskedQuestions implements TokenConstraint {
  forcedTokens = 0;
  readonly #tokenizer: Tokenizer;
  readonly #ask: () => string;
  /** What lies between two messages. */
  readonly #between: number;
  /** Tokens that are yet to be forced, the last of them first. */
  readonly #forced: number[] = [];

  /** @param ask the next question */
  constructor(tokenizer: Tokenizer, ask: () => string) {
    this.#tokenizer = tokenizer;
    this.#ask = ask;
    const example = tokenizer.encodeChat([{ role: "user", content: "x" }]);
    this.#between = example[example.indexOf(tokenizer.eosToken ?? -1) + 1] as number;
  }

  admits(token: number): boolean {
    return this.#forced.length === 0 || token === this.#forced.at(-1);
  }

  accept(token: number): void {
    if (this.#forced.length > 0) {
      this.#forced.pop();
      this.forcedTokens += 1;
    } else if (token === this.#tokenizer.eosToken) {
      const turn = this.#tokenizer.encodeChat([{ role: "user", content: this.#ask() }]);
      this.#forced.push(...[this.#between, ...turn].reverse());
    }
  }
}
