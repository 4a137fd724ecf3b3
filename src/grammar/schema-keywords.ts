/** The words of JSON Schema, by what a grammar can do with them. */

export const TYPES: ReadonlySet<unknown> = new Set([
  "object",
  "array",
  "string",
  "number",
  "integer",
  "boolean",
  "null",
]);

/** Assertions that a grammar cannot hold an output to: a schema that makes them is refused. */
export const UNSUPPORTED: ReadonlySet<string> = new Set([
  "not",
  "if",
  "then",
  "else",
  "dependencies",
  "dependentRequired",
  "dependentSchemas",
  "contains",
  "minContains",
  "maxContains",
  "multipleOf",
  "additionalItems",
  "$dynamicRef",
  "$recursiveRef",
]);

/**
 * Where one of these stands, it decides alone, in this order: the compiler does not look at the
 * assertions beside it.
 */
export const DECIDING = ["$ref", "const", "enum", "allOf", "anyOf", "oneOf"] as const;

export function isAssertion(keyword: string): boolean {
  return keyword === "type" || keyword === "uniqueItems" ||
    (keyword !== "format" && Object.hasOwn(TYPE_OF, keyword)) ||
    (DECIDING as readonly string[]).includes(keyword);
}

/** Keywords whose value is a schema, an array of schemas, or an object of schemas. */
export const ONE_SCHEMA: ReadonlySet<string> = new Set([
  "items",
  "additionalProperties",
  "unevaluatedProperties",
  "unevaluatedItems",
  "propertyNames",
]);
export const SCHEMA_LIST: ReadonlySet<string> = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);
export const SCHEMA_MAP: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
]);

/** Keywords whose value counts the characters of a string. */
export const LENGTHS: ReadonlySet<string> = new Set(["minLength", "maxLength"]);
/** Keywords whose value counts something else that is repeated. */
export const COUNTS: ReadonlySet<string> = new Set([
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
]);
export const BOUNDS: ReadonlySet<string> = new Set([
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
]);

/** Words that say nothing about texts, and could make two equal grammars look different. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  "title",
  "description",
  "default",
  "examples",
  "$comment",
  "deprecated",
  "readOnly",
  "writeOnly",
]);

/** The type of value that an assertion is about. */
export const TYPE_OF: Readonly<Record<string, string>> = {
  properties: "object",
  required: "object",
  additionalProperties: "object",
  unevaluatedProperties: "object",
  patternProperties: "object",
  propertyNames: "object",
  minProperties: "object",
  maxProperties: "object",
  items: "array",
  prefixItems: "array",
  unevaluatedItems: "array",
  minItems: "array",
  maxItems: "array",
  pattern: "string",
  minLength: "string",
  maxLength: "string",
  format: "string",
  minimum: "number",
  maximum: "number",
  exclusiveMinimum: "number",
  exclusiveMaximum: "number",
};

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What is wrong with the value of a count; undefined when it can be used. */
export function countFault(value: unknown, most: number): string | undefined {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    return "is not a whole number from 0 up";
  }
  return value > most ? `is ${value}: ${most} is the most` : undefined;
}

/** What is wrong with a bound on a number; undefined when it can be used. */
export function boundFault(value: unknown): string | undefined {
  return typeof value === "number" && Number.isFinite(value) ? undefined : "is not a number";
}
