/** What an output can be held to, and who turns that into something the engine can follow. */

/** What the whole of an output must be. */
export type GrammarSpec =
  /** Any JSON value that is an object. */
  | { readonly kind: "json" }
  /** JSON that a JSON Schema admits. */
  | { readonly kind: "json-schema"; readonly schema: unknown }
  /** A text of the language of an EBNF grammar whose start is `root`. */
  | { readonly kind: "ebnf"; readonly text: string };

/** A compiled grammar, known by its number to the engine's host until it is released. */
export interface GrammarLease {
  /** What `GenerateRequest.grammar` takes. */
  readonly id: number;
  release(): void;
}

export interface Grammars {
  /**
   * Compiles a grammar, or finds it compiled.
   * @throws ArcticError `request_bad_grammar` for one that is malformed, too deep, too large, or takes
   *   too long; `engine_grammar` when the compiler itself fails
   */
  compile(spec: GrammarSpec): Promise<GrammarLease>;
}
