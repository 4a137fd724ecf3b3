/** Token ids written as text. */

import { ArcticError, type ErrorCode } from "../errors.ts";
import { limits } from "../limits.ts";

/**
 * Ids separated by commas or white space; separators at either end are ignored.
 * @param origin names the text in errors: a flag or a file
 * @param code of the error: `usage_…` for argv, `request_…` for a file
 */
export function parseTokenIds(text: string, origin: string, code: ErrorCode): number[] {
  const ids: number[] = [];
  for (const word of text.split(/[\s,]+/)) {
    if (word === "") continue;
    const id = /^\d{1,15}$/.test(word) ? Number(word) : NaN;
    if (!(id < limits.vocabulary)) {
      throw new ArcticError(
        code,
        `${origin} holds \`${word.slice(0, 40)}\` as token ${
          ids.length + 1
        }, which is no token id: ` +
          "write whole numbers separated by commas or white space.",
      );
    }
    ids.push(id);
  }
  if (ids.length === 0) throw new ArcticError(code, `${origin} holds no token ids.`);
  return ids;
}
