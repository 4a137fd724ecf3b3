import { ArcticError } from "../errors.ts";

/**
 * @param place where in the grammar, as a JSON pointer (`#/properties/a`) or a line
 * @param what completes the sentence: "has …", "is …"
 */
export function refuse(place: string, what: string): never {
  throw new ArcticError("request_bad_grammar", `The grammar cannot be used: ${place} ${what}.`);
}

/** Text of a request, shortened and quoted for a message: no line breaks, no control characters. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 61)}...` : text);
}
