/** Rules of an EBNF grammar by their names. */
export class Rules {
  readonly #bodies = new Map<string, string>();

  /** Adds a rule, unless there is one of that name: the name tells what it is. @returns the name */
  add(name: string, body: string): string {
    return this.define(name, () => body);
  }

  /** The same where the body is made of other rules, perhaps of the rule itself. */
  define(name: string, body: () => string): string {
    if (!this.#bodies.has(name)) {
      this.#bodies.set(name, "");
      this.#bodies.set(name, body());
    }
    return name;
  }

  toString(): string {
    return [...this.#bodies].map(([name, body]) => `${name} ::= ${body}\n`).join("");
  }
}
