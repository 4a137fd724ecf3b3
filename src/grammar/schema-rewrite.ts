/**
 * A checked schema as the compiler is to see it. Where the compiler would let a text pass that is not
 * JSON or that the schema does not admit, the schema is made a little narrower.
 */

import { jsonPattern } from "./json-pattern.ts";
import { refuse } from "./refuse.ts";
import { BOUNDS, DECIDING, isObject, TYPE_OF } from "./schema-keywords.ts";

type Schema = Readonly<Record<string, unknown>>;

/** Formats whose texts need no escape in JSON. Others are annotations, as the specification allows. */
const FORMATS: ReadonlySet<unknown> = new Set([
  "date",
  "time",
  "date-time",
  "duration",
  "ipv4",
  "ipv6",
  "hostname",
  "uuid",
  "uri",
  "uri-reference",
]);
/** RFC 5321's usual form: a dot-atom before the @. */
const EMAIL = "^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+([.-][A-Za-z0-9]+)*$";
const ANY_CHARACTER = jsonPattern(".", "#");

/** Words that say nothing about texts, and could make two equal grammars look different. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  "title",
  "description",
  "default",
  "examples",
  "$comment",
  "deprecated",
  "readOnly",
  "writeOnly",
]);

/**
 * @param schemas all objects in `root` that are schemas, with their places
 * @returns JSON
 */
export function rewrittenSchema(
  root: Schema,
  schemas: ReadonlyMap<unknown, { readonly place: string }>,
): string {
  return JSON.stringify(root, (_, value: unknown) => {
    const place = schemas.get(value)?.place;
    return place !== undefined && isObject(value) ? rewritten(value, place) : value;
  });
}

function rewritten(schema: Schema, place: string): Schema {
  const kept = Object.entries(schema).filter(([keyword]) => !ANNOTATIONS.has(keyword));
  const out: Record<string, unknown> = Object.fromEntries(kept);
  if (typeof out.pattern === "string") out.pattern = jsonPattern(out.pattern, `${place}/pattern`);
  if (isObject(out.patternProperties)) {
    out.patternProperties = Object.fromEntries(
      Object.entries(out.patternProperties).map((
        [key, value],
      ) => [jsonPattern(key, `${place}/patternProperties`), value]),
    );
  }
  rewriteType(out);
  rewriteLengths(out);
  rewriteFormat(out);
  rewriteBounds(out, place);
  return out;
}

/** The compiler counts characters of which some have to be escaped. */
function rewriteLengths(out: Record<string, unknown>): void {
  const { minLength, maxLength } = out;
  if (minLength === undefined && maxLength === undefined) return;
  delete out.minLength;
  delete out.maxLength;
  out.pattern = `^${ANY_CHARACTER}{${Number(minLength ?? 0)},${maxLength ?? ""}}$`;
  delete out.format;
}

function rewriteFormat(out: Record<string, unknown>): void {
  const { format } = out;
  if (format === undefined || (FORMATS.has(format) && out.pattern === undefined)) return;
  delete out.format;
  if (format === "email" && out.pattern === undefined) out.pattern = EMAIL;
}

/** The compiler is exact about bounds on whole numbers only, and only where there are two of them. */
function rewriteBounds(out: Record<string, unknown>, place: string): void {
  const has = [...BOUNDS].some((keyword) => keyword in out);
  if (!has) return;
  const types: readonly unknown[] = Array.isArray(out.type) ? out.type : [out.type];
  if (types.includes("number")) {
    refuse(
      place,
      "bounds a number that need not be whole, which cannot be enforced while text is generated. " +
        "Leave the bounds out and check the result, or use the type integer",
    );
  }
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = out;
  const most = Number.MAX_SAFE_INTEGER;
  const low = Math.max(
    Math.ceil(Number(minimum ?? -most)),
    Math.floor(Number(exclusiveMinimum ?? -Infinity)) + 1,
  );
  const high = Math.min(
    Math.floor(Number(maximum ?? most)),
    Math.ceil(Number(exclusiveMaximum ?? Infinity)) - 1,
  );
  if (low > high) refuse(place, "leaves no whole number between its bounds");
  delete out.exclusiveMinimum;
  delete out.exclusiveMaximum;
  out.minimum = low;
  out.maximum = high;
}

/** Without a type, the compiler passes over what is said about values of one type. */
function rewriteType(out: Record<string, unknown>): void {
  if (out.type !== undefined || DECIDING.some((keyword) => keyword in out)) return;
  const about = Object.keys(out).find((keyword) => Object.hasOwn(TYPE_OF, keyword));
  if (about !== undefined) out.type = TYPE_OF[about];
}
