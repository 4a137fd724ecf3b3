/** Schemas: what a question is about. Their DDL is the system message of the prompt. */

import { capitalised, identifier, plural, type Split, word } from "./names.ts";
import type { Random } from "./random.ts";

export type ColumnType = "INTEGER" | "REAL" | "TEXT" | "DATE";

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly primaryKey?: boolean;
  /** Name of the table whose primary key this column refers to. */
  readonly references?: string;
  /** Random rows take a TEXT column's values from here. */
  readonly values?: readonly string[];
  /** Random rows take a number from this range, both ends included. */
  readonly range?: readonly [number, number];
}

export interface Table {
  readonly name: string;
  /** One of its rows, as it is said: "customer". */
  readonly singular: string;
  /** Several of its rows, as they are said: "customers". */
  readonly plural: string;
  readonly columns: readonly Column[];
}

export interface Schema {
  readonly tables: readonly Table[];
}

/** A foreign key: child.column refers to the primary key of parent. */
export interface Relation {
  readonly child: Table;
  readonly column: Column;
  readonly parent: Table;
}

/** The schema as CREATE TABLE statements, one a line, in the one style the model is trained on. */
export function createStatements(schema: Schema): string {
  const define = (column: Column): string => {
    const key = column.primaryKey ? " PRIMARY KEY" : "";
    const parent = schema.tables.find((table) => table.name === column.references);
    const reference = parent === undefined ? "" : ` REFERENCES ${parent.name}(${keyName(parent)})`;
    return `${column.name} ${column.type}${key}${reference}`;
  };
  return schema.tables
    .map((table) => `CREATE TABLE ${table.name} (${table.columns.map(define).join(", ")});`)
    .join("\n");
}

/** The name of a table's primary key. */
export function keyName(table: Table): string {
  return table.columns.find((column) => column.primaryKey)?.name ?? "id";
}

export function relations(schema: Schema): Relation[] {
  const found: Relation[] = [];
  for (const child of schema.tables) {
    for (const column of child.columns) {
      const parent = schema.tables.find((table) => table.name === column.references);
      if (parent !== undefined) found.push({ child, column, parent });
    }
  }
  return found;
}

/** Columns that carry data, not keys. */
export function dataColumns(table: Table, ...types: ColumnType[]): Column[] {
  return table.columns.filter((column) =>
    !column.primaryKey && column.references === undefined &&
    (types.length === 0 || types.includes(column.type))
  );
}

/** The column that names a row: the first TEXT column, or the primary key where there is none. */
export function labelColumn(table: Table): Column {
  const label = dataColumns(table, "TEXT")[0] ?? table.columns[0];
  if (label === undefined) throw new RangeError(`table ${table.name} has no columns`);
  return label;
}

export interface SchemaOptions {
  readonly split: Split;
  readonly tables: number;
  /** Data columns of one table. */
  readonly columns: readonly [number, number];
  /** Chance that primary keys are called after their tables rather than "id". */
  readonly namedKeys: number;
}

/** A random schema of tables that refer to each other. */
export function randomSchema(random: Random, options: SchemaOptions): Schema {
  // A generic column name stands for itself alone, also where no table has it.
  const used = new Set(Object.values(generics).flat());
  const fresh = (make: () => string): string => {
    for (;;) {
      const name = make();
      const words = name.split("_");
      if (words.some((part) => used.has(part))) continue;
      for (const part of words) used.add(part).add(plural(part));
      return name;
    }
  };
  const tables: Table[] = [];
  // Some schemas call every key by its table: customers.customer_id.
  const namedKeys = random.chance(options.namedKeys);
  for (let i = 0; i < options.tables; i++) {
    const singular = fresh(() => identifier(random, options.split, 0.2));
    const name = random.chance(0.75) ? plural(singular) : singular;
    const parents = referredTables(random, tables, i);
    const keys = parents.map((parent): Column => ({
      name: `${parent.singular.replaceAll(" ", "_")}_id`,
      type: "INTEGER",
      references: parent.name,
    }));
    const data = randomColumns(random, options, fresh);
    const id: Column = {
      name: namedKeys ? `${singular}_id` : "id",
      type: "INTEGER",
      primaryKey: true,
    };
    const columns = random.chance(0.7) ? [id, ...keys, ...data] : [id, ...data, ...keys];
    tables.push({
      name,
      singular: singular.replaceAll("_", " "),
      plural: plural(singular).replaceAll("_", " "),
      columns,
    });
  }
  return { tables: random.chance(0.6) ? tables : random.sample(tables, tables.length) };
}

function referredTables(random: Random, before: readonly Table[], index: number): Table[] {
  if (index === 0) return [];
  const last = before[index - 1] as Table;
  if (index >= 2 && random.chance(0.3)) return random.sample(before, 2);
  return [random.chance(0.6) ? last : random.pick(before)];
}

function randomColumns(
  random: Random,
  options: SchemaOptions,
  fresh: (make: () => string) => string,
): Column[] {
  const count = random.int(...options.columns);
  const types: ColumnType[] = ["TEXT", random.chance(0.6) ? "INTEGER" : "REAL"];
  while (types.length < count) {
    types.push(
      random.weighted<ColumnType>([[40, "TEXT"], [24, "INTEGER"], [14, "REAL"], [22, "DATE"]]),
    );
  }
  // A table of few columns still leads with a text column more often than not.
  const order = random.chance(0.6) ? types : random.sample(types, types.length);
  const common = new Set<string>();
  return order.slice(0, count).map((type) => {
    const generic = options.split === "seen" && random.chance(0.3)
      ? genericName(random, type, common)
      : undefined;
    const name = generic ?? fresh(() => identifier(random, options.split));
    const dated = type === "DATE" && generic === undefined && random.chance(0.5)
      ? `${name}_date`
      : name;
    return { name: dated, type, ...contents(random, type, options.split) };
  });
}

const generics: Readonly<Record<ColumnType, readonly string[]>> = {
  TEXT:
    "name name name title city country email status category type description color address phone code"
      .split(" "),
  INTEGER: "age quantity stock score rating level capacity population year points".split(" "),
  REAL: "price amount total weight salary cost height balance rate distance".split(" "),
  DATE: "date created_at start_date end_date birth_date updated_at due_date".split(" "),
};

function genericName(random: Random, type: ColumnType, taken: Set<string>): string | undefined {
  const name = random.pick(generics[type]);
  if (taken.has(name)) return undefined;
  taken.add(name);
  return name;
}

/** What random rows of a column hold, and so what a question can ask for. */
function contents(
  random: Random,
  type: ColumnType,
  split: Split,
): Pick<Column, "values" | "range"> {
  if (type === "TEXT") return { values: textValues(random, split) };
  if (type === "DATE") return {};
  const high = random.pick([10, 50, 100, 500, 1000, 5000, 20000]);
  return { range: [0, high] };
}

function textValues(random: Random, split: Split): string[] {
  const style = random.weighted([[70, "name"], [15, "lower"], [15, "two"]] as const);
  const values = new Set<string>();
  const count = random.int(5, 9);
  while (values.size < count) {
    const first = word(random, split);
    if (style === "lower") values.add(first);
    else if (style === "name") values.add(capitalised(first));
    else values.add(`${capitalised(first)} ${capitalised(word(random, split))}`);
  }
  return [...values];
}
