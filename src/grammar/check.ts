import { Buffer } from "node:buffer";
import { limits } from "../limits.ts";
import { checkEbnf } from "./ebnf-check.ts";
import type { GrammarSpec } from "./grammar.ts";
import { refuse } from "./refuse.ts";
import { checkSchema } from "./schema-check.ts";

/** A grammar as threads are told it: text, which is also what it is known by. */
export interface GrammarSource {
  readonly kind: "json-schema" | "ebnf";
  readonly text: string;
}

/**
 * Everything that can be known about a grammar without compiling it, in time that its size bounds.
 * @throws ArcticError `request_bad_grammar`, naming the place
 */
export function checkGrammar(spec: GrammarSpec): GrammarSource {
  switch (spec.kind) {
    case "json":
      return { kind: "json-schema", text: '{"type":"object"}' };
    case "json-schema": {
      const text = checkSchema(spec.schema);
      const bytes = Buffer.byteLength(text);
      if (bytes > limits.grammarBytes) {
        refuse("The schema", `has ${bytes} bytes: ${limits.grammarBytes} is the most`);
      }
      return { kind: "json-schema", text };
    }
    case "ebnf":
      checkEbnf(spec.text);
      return { kind: "ebnf", text: spec.text };
  }
}
