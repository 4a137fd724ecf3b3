/**
 * Names of a database as the model reads them, and back.
 *
 * The model was trained on lower case with underscores. A database's `OrderDetails` or `Unit Price`
 * becomes `order_details` or `unit_price` in the prompt, and the SQL that the model writes gets the
 * database's own names, quoted where SQLite asks for it.
 */

import { Database } from "bun:sqlite";

/** A text or a quoted name, skipped or unquoted as a whole; or a bare name or keyword. */
const WORD = /'(?:[^']|'')*'|"(?<quoted>(?:[^"]|"")*)"|[\p{L}_][\p{L}\p{N}_$]*/gu;

export class SqlNames {
  /** By the database's name in lower case: SQLite does not tell cases apart. */
  readonly #toModel = new Map<string, string>();
  readonly #toDatabase = new Map<string, string>();

  /** The model's name for a table or a column: the same for all of one spelling. */
  forModel(name: string): string {
    const key = name.toLowerCase();
    const known = this.#toModel.get(key);
    if (known !== undefined) return known;
    const plain = plainName(name);
    let free = plain;
    for (let i = 2; this.#toDatabase.has(free); i++) free = `${plain}_${i}`;
    this.#toModel.set(key, free);
    this.#toDatabase.set(free, name);
    return free;
  }

  /** The model's SQL with the database's names. Keywords are in upper case and so are no names. */
  forDatabase(sql: string): string {
    return sql.replace(WORD, (word: string, ...rest: unknown[]) => {
      const { quoted } = rest.at(-1) as { quoted: string | undefined };
      const offset = rest.at(-3) as number;
      const isCall = /^\s*\(/.test(sql.slice(offset + word.length));
      const name = this.#toDatabase.get(quoted ?? word);
      return name === undefined || (isCall && quoted === undefined) ? word : quoteName(name);
    });
  }
}

/** `OrderID` is order_id, `Unit Price` unit_price, `2nd` n_2nd. */
function plainName(name: string): string {
  const plain = name
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, "$1_$2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1_$2")
    .replace(/[^\p{L}\p{N}]+/gu, "_")
    .replace(/^_+|_+$/g, "")
    .toLowerCase();
  return /^\p{L}/u.test(plain) ? plain : `n_${plain}`;
}

/**
 * The name as SQL, in quotes only where it must be. In backticks: SQLite takes a name in double quotes
 * for a text where there is no such column, and the query would answer wrongly instead of failing.
 */
export function quoteName(name: string): string {
  const isPlain = /^[A-Za-z_]\w*$/.test(name) && !isKeyword(name);
  return isPlain ? name : `\`${name.replaceAll("`", "``")}\``;
}

/** Whether SQLite would take the word for something else than a name. */
function isKeyword(word: string): boolean {
  const database = new Database(":memory:");
  try {
    database.prepare(`SELECT ${word} FROM (SELECT 1 AS ${word}) AS ${word}`).finalize();
    return false;
  } catch {
    return true;
  } finally {
    database.close();
  }
}
