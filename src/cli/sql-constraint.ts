/** Lets a model write only SQL that has its names from a schema. */

import type { TokenConstraint } from "../engine/request.ts";
import { SqlGuide } from "../sql/guide.ts";
import type { Schema } from "../sql/schema.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export class SqlConstraint implements TokenConstraint {
  readonly #guide: SqlGuide;
  readonly #tokenizer: Tokenizer;
  readonly #compiles: (sql: string) => boolean;
  #text = "";

  /** @param compiles whether SQLite can compile a whole query: only then it may end */
  constructor(schema: Schema, tokenizer: Tokenizer, compiles: (sql: string) => boolean) {
    this.#guide = new SqlGuide(schema);
    this.#tokenizer = tokenizer;
    this.#compiles = compiles;
  }

  admits(token: number): boolean {
    if (token === this.#tokenizer.eosToken) return this.#compiles(this.#text.trim());
    if (this.#tokenizer.isSpecial(token)) return false;
    return this.#guide.viable(this.#with(token).trimStart());
  }

  accept(token: number): void {
    this.#text = this.#with(token);
  }

  /** Half a character counts as one: it can only be inside a quoted text. */
  #with(token: number): string {
    return this.#text + new TextDecoder().decode(this.#tokenizer.tokenBytes(token));
  }
}
