/**
 * Decides whether a JSON Schema may be given to the compiler of grammars. A schema is a client's, and the
 * compiler recurses, expands and repeats as the schema says: everything about it is bounded here, by
 * loops that cannot themselves run out of stack. What a grammar cannot hold an output to is refused
 * rather than passed over.
 */

import { limits } from "../limits.ts";
import { checkPattern } from "./pattern-check.ts";
import { RESERVED } from "./own-rules.ts";
import { quoted, refuse } from "./refuse.ts";
import {
  boundFault,
  BOUNDS,
  countFault,
  COUNTS,
  DECIDING,
  isAssertion,
  isObject,
  LENGTHS,
  ONE_SCHEMA,
  SCHEMA_LIST,
  SCHEMA_MAP,
  TYPES,
  UNSUPPORTED,
} from "./schema-keywords.ts";
import { rewrittenSchema } from "./schema-rewrite.ts";
import { checkCycles, resolveRef } from "./schema-refs.ts";

type Schema = Readonly<Record<string, unknown>>;

interface Visit {
  readonly schema: Schema;
  /** JSON pointer, for messages. */
  readonly place: string;
  readonly depth: number;
}

/** What all schemas of a document have together. */
interface Totals {
  properties: number;
  enumValues: number;
  repeats: number;
}

/**
 * @returns the schema as the compiler is to see it, as JSON
 * @throws ArcticError `request_bad_grammar`, naming the place
 */
export function checkSchema(root: unknown): string {
  if (!isObject(root)) return refuse("The schema", "is not an object");
  checkNodes(root);
  const totals: Totals = { properties: 0, enumValues: 0, repeats: 0 };
  const seen = new Map<Schema, Visit>();
  const stack: Visit[] = [{ schema: root, place: "#", depth: 1 }];
  for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
    if (seen.has(visit.schema)) continue;
    seen.set(visit.schema, visit);
    checkOne(visit, totals);
    for (const next of children(visit, root)) stack.push(next);
  }
  checkCycles(root, seen);
  return rewrittenSchema(root, seen);
}

/** Bounds the document as plain JSON, whatever its words mean. */
function checkNodes(root: Schema): void {
  // A schema in another is one or two levels of JSON further down.
  const deepest = 2 * limits.grammarDepth;
  let nodes = 0;
  const stack: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 0 }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (++nodes > limits.grammarNodes) {
      refuse("The schema", `has more than ${limits.grammarNodes} values`);
    }
    if (typeof top.value === "string") checkString(top.value);
    if (typeof top.value !== "object" || top.value === null) continue;
    if (top.depth === deepest) refuse("The schema", `is nested more than ${deepest} levels deep`);
    const below = Array.isArray(top.value) ? top.value.length : Object.keys(top.value).length;
    if (below + nodes > limits.grammarNodes) {
      refuse("The schema", `has more than ${limits.grammarNodes} values`);
    }
    for (const [key, value] of Object.entries(top.value)) {
      checkString(key);
      stack.push({ value, depth: top.depth + 1 });
    }
  }
}

function checkString(text: string): void {
  if (text.length > limits.grammarStringCharacters) {
    refuse(
      `The text ${quoted(text)} in the schema`,
      `has ${text.length} characters: ${limits.grammarStringCharacters} is the most`,
    );
  }
  if (!text.isWellFormed()) refuse(`The text ${quoted(text)}`, "has half a surrogate pair");
  if (text.includes(RESERVED)) {
    refuse(`The text ${quoted(text)}`, "has U+FFFF, which is no character");
  }
}

function checkOne({ schema, place, depth }: Visit, totals: Totals): void {
  if (depth > limits.grammarDepth) {
    refuse(place, `is nested more than ${limits.grammarDepth} schemas deep`);
  }
  for (const [keyword, value] of Object.entries(schema)) {
    checkKeyword(keyword, value, `${place}/${escaped(keyword)}`, totals);
  }
  checkTogether(schema, place);
}

function checkKeyword(keyword: string, value: unknown, place: string, totals: Totals): void {
  if (UNSUPPORTED.has(keyword)) {
    refuse(place, "cannot be enforced while text is generated. Leave it out and check the result");
  }
  if (LENGTHS.has(keyword)) {
    const fault = countFault(value, limits.grammarCharacters);
    if (fault !== undefined) refuse(place, fault);
  } else if (COUNTS.has(keyword)) {
    const fault = countFault(value, limits.grammarRepeats);
    if (fault !== undefined) refuse(place, fault);
    totals.repeats += Number(value);
    if (totals.repeats > limits.grammarRepeatsTotal) {
      refuse(
        place,
        `makes the counts in the schema more than ${limits.grammarRepeatsTotal} in all`,
      );
    }
  } else if (BOUNDS.has(keyword)) {
    const fault = boundFault(value);
    if (fault !== undefined) refuse(place, fault);
  } else if (keyword === "type") {
    checkType(value, place);
  } else if (keyword === "enum") {
    if (!Array.isArray(value) || value.length === 0) refuse(place, "is not a list of values");
    totals.enumValues += value.length;
    if (totals.enumValues > limits.grammarEnumValues) {
      refuse(place, `makes the values of enums more than ${limits.grammarEnumValues} in all`);
    }
  } else if (keyword === "pattern") {
    if (typeof value !== "string") return refuse(place, "is not a string");
    checkPattern(value, place);
  } else if (keyword === "required") {
    const names = Array.isArray(value) && value.every((name) => typeof name === "string");
    if (!names) refuse(place, "is not a list of names");
  } else if (keyword === "uniqueItems") {
    if (value !== false) {
      refuse(
        place,
        "cannot be enforced while text is generated. Leave it out and check the result",
      );
    }
  } else {
    checkShape(keyword, value, place, totals);
  }
}

function checkType(value: unknown, place: string): void {
  const types: readonly unknown[] = Array.isArray(value) ? value : [value];
  const bad = types.find((type) => !TYPES.has(type));
  if (types.length === 0 || types.length > TYPES.size || bad !== undefined) {
    const known = [...TYPES].join(", ");
    refuse(place, `is ${quoted(String(JSON.stringify(bad ?? value)))}; the types are ${known}`);
  }
}

/** Keywords that hold schemas. */
function checkShape(keyword: string, value: unknown, place: string, totals: Totals): void {
  const isSchema = (item: unknown) => isObject(item) || typeof item === "boolean";
  if (ONE_SCHEMA.has(keyword)) {
    if (!isSchema(value)) refuse(place, "is not a schema");
  } else if (SCHEMA_LIST.has(keyword)) {
    if (!Array.isArray(value) || value.length === 0 || !value.every(isSchema)) {
      refuse(place, "is not a list of schemas");
    }
    if (keyword === "allOf" && value.length > 1) {
      refuse(place, "joins several schemas, which cannot be followed. Write them as one");
    }
  } else if (SCHEMA_MAP.has(keyword)) {
    if (!isObject(value) || !Object.values(value).every(isSchema)) {
      return refuse(place, "is not an object of schemas");
    }
    if (keyword === "patternProperties") {
      for (const key of Object.keys(value)) checkPattern(key, `${place}/${escaped(key)}`);
    }
    totals.properties += Object.keys(value).length;
    if (totals.properties > limits.grammarProperties) {
      refuse(place, `makes the properties more than ${limits.grammarProperties} in all`);
    }
  }
}

/** Refuses assertions of which the compiler would see one and not the other. */
function checkTogether(schema: Schema, place: string): void {
  const deciding = DECIDING.find((keyword) => keyword in schema);
  if (deciding !== undefined) {
    const other = Object.keys(schema).find((keyword) =>
      keyword !== deciding && isAssertion(keyword) &&
      !(keyword === "type" && agrees(schema.type, deciding, schema[deciding]))
    );
    if (other !== undefined) {
      refuse(place, `has ${other} beside ${deciding}, which decides alone. Write one of them`);
    }
  }
  const length = ["minLength", "maxLength"].find((keyword) => keyword in schema);
  if (length !== undefined && "pattern" in schema) {
    refuse(place, `has ${length} beside pattern. Put the length into the pattern`);
  }
  for (const size of ["Length", "Items", "Properties"]) {
    if (Number(schema[`min${size}`] ?? 0) > Number(schema[`max${size}`] ?? Infinity)) {
      refuse(place, `has a min${size} above its max${size}`);
    }
  }
}

/** Whether `type` says nothing that what `deciding` lists does not say. */
function agrees(type: unknown, deciding: (typeof DECIDING)[number], value: unknown): boolean {
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  const listed: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (deciding === "const" || deciding === "enum") {
    return listed.every((item) => typesOf(item).some((name) => types.includes(name)));
  }
  return listed.every((option) => {
    const own: unknown = isObject(option) ? option.type : undefined;
    return own !== undefined && (Array.isArray(own) ? own : [own]).every((t) => types.includes(t));
  });
}

function typesOf(value: unknown): readonly string[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  return Number.isInteger(value) ? ["integer", "number"] : [typeof value];
}

/** The schemas that a schema holds, and the one that it refers to. */
function* children({ schema, place, depth }: Visit, root: Schema): Generator<Visit> {
  for (const [keyword, value] of Object.entries(schema)) {
    const below = `${place}/${escaped(keyword)}`;
    if (keyword === "$ref") {
      const target = resolveRef(root, value, below);
      yield { schema: target, place: String(value), depth };
    } else if (ONE_SCHEMA.has(keyword) && isObject(value)) {
      yield { schema: value, place: below, depth: depth + 1 };
    } else if (SCHEMA_LIST.has(keyword) || SCHEMA_MAP.has(keyword)) {
      // Definitions are as deep as where they are used, which the compiler bounds by itself.
      for (const [name, item] of Object.entries(value ?? {})) {
        if (isObject(item)) {
          yield { schema: item, place: `${below}/${escaped(name)}`, depth: depth + 1 };
        }
      }
    }
  }
}

/** A name as JSON pointers write it (RFC 6901), shortened for messages. */
function escaped(name: string): string {
  const short = name.length > 64 ? `${name.slice(0, 61)}...` : name;
  return JSON.stringify(short).slice(1, -1).replaceAll("~", "~0").replaceAll("/", "~1");
}
