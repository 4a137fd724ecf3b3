/**
 * Whether the beginning of a query can still become one whose names are all in the schema.
 *
 * Generation that leaves out what fails here cannot invent a table or a column: incremental parsing
 * as in PICARD (Scholak et al. 2021), for the part of SQL that the model is trained on. It knows what may
 * follow what, and which names there are, not all of the grammar: SQLite compiles what it lets pass.
 */

import type { Schema } from "./schema.ts";

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "));

const FUNCTIONS = words("COUNT SUM AVG MIN MAX strftime");
const COMPARISONS = words("= < > <= >= !=");
/** The FROM clause is complete where one of these begins. */
const AFTER_FROM = words("WHERE GROUP HAVING ORDER LIMIT");

/** What a value may follow, a value being a column, a number or a text. */
const BEFORE_VALUE = words(
  "SELECT DISTINCT , BY AND OR WHERE ON HAVING ( = < > <= >= != + - * / BETWEEN",
);
/** What may be compared or reckoned with. */
const COMPARABLE = words("column number text )");
/** A column after one of these is the beginning of a condition, and none of those may follow it. */
const CONDITIONS = words("ON WHERE AND OR HAVING");
const ENDERS = words("WHERE GROUP HAVING ORDER LIMIT JOIN AND OR ) ,");
/** What a query in parentheses may follow. */
const QUERIED = words("IN EXISTS");

/** What each word or sign may follow; `column`, `number`, `text`, `star` and `table` are classes. */
const FOLLOWS: Readonly<Record<string, ReadonlySet<string>>> = {
  DISTINCT: words("SELECT ("),
  FROM: words("column ) star number"),
  WHERE: words("table column ) number text"),
  AND: words("column ) number text NULL"),
  OR: words("column ) number text NULL"),
  NOT: words("column IS WHERE AND OR )"),
  IN: words("column NOT )"),
  LIKE: words("column NOT )"),
  BETWEEN: words("column NOT )"),
  IS: words("column )"),
  NULL: words("IS NOT"),
  GROUP: words("table column ) number text NULL"),
  BY: words("GROUP ORDER"),
  HAVING: words("column )"),
  ORDER: words("table column ) number text NULL"),
  ASC: words("column )"),
  DESC: words("column )"),
  LIMIT: words("table column ) number text NULL ASC DESC"),
  JOIN: words("table column"),
  ON: words("table"),
  EXISTS: words("WHERE NOT AND OR"),
  "(": words("COUNT SUM AVG MIN MAX strftime IN EXISTS = < > <= >= != WHERE AND OR NOT ( + - * /"),
  ")": words("column number text ) star NULL table ASC DESC"),
  ",": words("column number text ) star ASC DESC"),
  ".": words("table"),
  star: words("SELECT ( ."),
  column: BEFORE_VALUE,
  number: words("SELECT , AND ( = < > <= >= != + - * / BETWEEN LIMIT"),
  text: words(", AND ( = < > <= >= != BETWEEN LIKE"),
};
const ARITHMETIC = words("+ - * /");
const KEYWORDS = [
  ...Object.keys(FOLLOWS).filter((word) => /^[A-Z]+$/.test(word)),
  ...FUNCTIONS,
];

interface Lexeme {
  readonly kind: "word" | "number" | "text" | "sign";
  readonly value: string;
  /** It reaches the end of the text, so that a word may go on. */
  readonly last: boolean;
}

/** One SELECT. */
interface Scope {
  /** Tables of FROM and JOIN so far. */
  readonly tables: string[];
  /** Tables that columns have been qualified with. */
  readonly qualifiers: string[];
  /** Columns without a table. */
  readonly columns: string[];
  /** Clauses that have begun. */
  readonly clauses: Set<string>;
  /** A condition has begun: ON, WHERE or HAVING. */
  conditional: boolean;
  /** It is the one of ON, which compares columns. */
  joining: boolean;
}

export class SqlGuide {
  /** Columns by table. */
  readonly #tables: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(schema: Schema) {
    this.#tables = new Map(
      schema.tables.map(({ name, columns }) => [name, new Set(columns.map((c) => c.name))]),
    );
  }

  /** @param text a query from its first letter on, cut off anywhere */
  viable(text: string): boolean {
    // White space is where words end, and nothing to go on with for ever.
    const spaces = /\s\s/.test(text.replace(/'(?:[^']|'')*'?/g, "''"));
    return !spaces && new Walk(this.#tables, lexemes(text)).passes();
  }
}

function lexemes(text: string): Lexeme[] {
  const found: Lexeme[] = [];
  for (const match of text.matchAll(/'(?:[^']|'')*'?|[A-Za-z_]\w*|\d[\w.]*|[<>!]=?|[^\s\w']/g)) {
    const value = match[0];
    const kind = value[0] === "'"
      ? "text"
      : /^[A-Za-z_]/.test(value)
      ? "word"
      : /^\d/.test(value)
      ? "number"
      : "sign";
    found.push({ kind, value, last: match.index + value.length === text.length });
  }
  return found;
}

class Walk {
  readonly #tables: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #lexemes: readonly Lexeme[];
  /** A scope for each parenthesis that holds a SELECT, null for the others. */
  readonly #stack: (Scope | null)[] = [];
  /** Word, sign or class of the lexeme before. */
  #before = "";
  /** What stood before the last opening parenthesis. */
  #opener = "";
  /** What stood before the last column. */
  #lead = "";

  constructor(tables: ReadonlyMap<string, ReadonlySet<string>>, all: readonly Lexeme[]) {
    this.#tables = tables;
    this.#lexemes = all;
  }

  passes(): boolean {
    return this.#lexemes.every((lexeme, i) => {
      if (lexeme.kind === "word") return this.#word(lexeme, i);
      if (this.#scope === undefined) return false;
      if (lexeme.kind === "sign") return this.#sign(lexeme);
      if (lexeme.kind === "number" && !/^\d+(\.\d*)?$/.test(lexeme.value)) return false;
      if (lexeme.kind === "text" && this.#opener === "strftime" && this.#before === "(") {
        if (!/^'(%[\w%-]*'?)?$/.test(lexeme.value)) return false;
      }
      return this.#follow(lexeme.kind);
    });
  }

  /** The innermost SELECT. */
  get #scope(): Scope | undefined {
    return this.#scopes().at(-1);
  }

  #scopes(): Scope[] {
    return this.#stack.filter((scope) => scope !== null);
  }

  #mayFollow(item: string): boolean {
    if (this.#before === "column" && CONDITIONS.has(this.#lead) && ENDERS.has(item)) return false;
    if (this.#scope?.joining && (item === "text" || item === "number")) return false;
    if (item === "," && this.#stack.at(-1) !== null && this.#scope?.conditional) {
      const { clauses } = this.#scope;
      if (clauses.has("WHERE") && !clauses.has("GROUP") && !clauses.has("ORDER")) return false;
    }
    // Aggregates are neither nested nor given more than one value.
    const inFunction = this.#stack.at(-1) === null && FUNCTIONS.has(this.#opener);
    if (FUNCTIONS.has(item)) return BEFORE_VALUE.has(this.#before) && !inFunction;
    if (item === "," && inFunction) return this.#opener === "strftime" && this.#before === "text";
    if (inFunction && this.#opener === "strftime" && this.#before === "(") return item === "text";
    if (COMPARISONS.has(item)) {
      return this.#scope?.conditional === true && COMPARABLE.has(this.#before);
    }
    if (item === "star" && this.#before !== "SELECT") {
      const inParentheses = this.#stack.at(-1) === null;
      return this.#before === "."
        ? !inParentheses
        : this.#before === "(" && this.#opener === "COUNT";
    }
    return FOLLOWS[item]?.has(this.#before) ?? false;
  }

  #follow(item: string): boolean {
    const may = this.#mayFollow(item);
    this.#before = item;
    return may;
  }

  #sign({ value, last }: Lexeme): boolean {
    if (value === "!" || (last && /[<>]/.test(value))) return this.#mayFollow("=");
    if (value === "*" && this.#mayFollow("star")) return this.#follow("star");
    if (ARITHMETIC.has(value)) {
      const may = COMPARABLE.has(this.#before);
      this.#before = value;
      return may;
    }
    if (value === "(") this.#opener = this.#before;
    if (!this.#follow(value)) return false;
    if (value === "(") this.#stack.push(null);
    if (value !== ")") return true;
    const complete = this.#stack.length > 1 &&
      (this.#stack.at(-1) === null || this.#fromIsComplete());
    this.#stack.pop();
    return complete;
  }

  #word({ value, last }: Lexeme, i: number): boolean {
    const matches = (name: string) => last ? name.startsWith(value) : name === value;
    if (this.#maySelect() && matches("SELECT")) return last || this.#open();
    const scope = this.#scope;
    if (scope === undefined) return false;
    if (this.#before === ".") {
      this.#before = "column";
      return this.#columnsOf(this.#lexemes[i - 2]?.value ?? "").some(matches);
    }
    if (this.#before === "FROM" || this.#before === "JOIN") {
      const known = this.#joinable(scope).some(matches);
      if (!last) scope.tables.push(value);
      this.#before = "table";
      return known;
    }
    const isValue = this.#mayFollow("column");
    if (last) {
      return KEYWORDS.some((word) => matches(word) && this.#keyword(word, scope)) ||
        (isValue && (this.#plain(scope).some(matches) || this.#qualifiers(scope).some(matches)));
    }
    if (KEYWORDS.includes(value)) return this.#clause(value, scope);
    if (this.#lexemes[i + 1]?.value === ".") {
      const known = isValue && this.#qualifiers(scope).includes(value);
      scope.qualifiers.push(value);
      this.#lead = this.#before;
      this.#before = "table";
      return known;
    }
    const known = isValue && this.#plain(scope).includes(value);
    scope.columns.push(value);
    this.#lead = this.#before;
    this.#before = "column";
    return known;
  }

  #maySelect(): boolean {
    if (this.#stack.length === 0) return true;
    return this.#before === "(" && (QUERIED.has(this.#opener) || COMPARISONS.has(this.#opener));
  }

  #open(): boolean {
    if (this.#before === "(") this.#stack.pop();
    this.#stack.push({
      tables: [],
      qualifiers: [],
      columns: [],
      clauses: new Set(),
      conditional: false,
      joining: false,
    });
    this.#before = "SELECT";
    return true;
  }

  /** Whether a keyword may come next. */
  #keyword(word: string, { tables, clauses }: Scope): boolean {
    if (!this.#mayFollow(word)) return false;
    if (FUNCTIONS.has(word) || word === "DISTINCT") return true;
    const inParentheses = this.#stack.at(-1) === null;
    if (word === "FROM") return tables.length === 0 && !inParentheses;
    if (tables.length === 0) return false;
    if (word === "ASC" || word === "DESC") return clauses.has("ORDER");
    if (word === "HAVING" && !clauses.has("GROUP")) return false;
    if (word === "JOIN" || word === "ON") return clauses.size === 0;
    if (!AFTER_FROM.has(word)) return true;
    const later = [...AFTER_FROM].slice([...AFTER_FROM].indexOf(word));
    return !inParentheses && later.every((clause) => !clauses.has(clause)) &&
      this.#fromIsComplete();
  }

  #clause(word: string, scope: Scope): boolean {
    const may = this.#keyword(word, scope);
    if (AFTER_FROM.has(word)) scope.clauses.add(word);
    if (word === "ON" || word === "WHERE" || word === "HAVING") scope.conditional = true;
    if (word === "ON") scope.joining = true;
    else if (AFTER_FROM.has(word) || word === "JOIN") scope.joining = false;
    this.#before = word;
    return may;
  }

  /** Every table that the innermost SELECT speaks of is in its FROM, or in one around it. */
  #fromIsComplete(): boolean {
    const scope = this.#scope;
    if (scope === undefined || scope.tables.length === 0) return false;
    const known = this.#scopes().flatMap(({ tables }) => tables);
    return scope.qualifiers.every((table) => known.includes(table));
  }

  #columnsOf(table: string): string[] {
    return [...this.#tables.get(table) ?? []];
  }

  /** Tables that may come next in FROM: the first has the columns that were named without a table. */
  #joinable({ columns, tables }: Scope): string[] {
    const others = [...this.#tables.keys()].filter((table) => !tables.includes(table));
    if (tables.length > 0) return others;
    return others.filter((table) =>
      columns.every((column) => this.#tables.get(table)?.has(column))
    );
  }

  /** Columns that may be named without a table. */
  #plain(scope: Scope): string[] {
    const tables = scope.tables.length > 0 ? scope.tables : this.#joinable(scope);
    return tables.flatMap((table) => this.#columnsOf(table));
  }

  /** Tables that a column may be qualified with. */
  #qualifiers({ tables }: Scope): string[] {
    if (tables.length === 0) return [...this.#tables.keys()];
    return this.#scopes().flatMap((scope) => scope.tables);
  }
}
