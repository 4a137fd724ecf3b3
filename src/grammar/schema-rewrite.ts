/**
 * A checked schema as the compiler is to see it. Where the compiler would let a text pass that is not
 * JSON or that the schema does not admit, the schema is made a little narrower.
 */

import { type Bound, boundedNumber } from "./bounded-number.ts";
import { jsonPattern } from "./json-pattern.ts";
import { rewriteObject } from "./object-rewrite.ts";
import { standInForNumber, standInForString } from "./own-rules.ts";
import { refuse } from "./refuse.ts";
import { Rules } from "./rules.ts";
import { ANNOTATIONS, BOUNDS, DECIDING, isObject, TYPE_OF } from "./schema-keywords.ts";

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
  rewriteType(out);
  rewriteObject(out, place);
  rewriteFormat(out);
  return withStandIns(out, place);
}

function rewriteFormat(out: Record<string, unknown>): void {
  const { format } = out;
  const decidesAlone = out.pattern === undefined && !isCounted(out);
  if (format === undefined || (FORMATS.has(format) && decidesAlone)) return;
  delete out.format;
  if (format === "email" && decidesAlone) out.pattern = EMAIL;
}

/** Each type by itself where rules of our own describe one of them. */
function withStandIns(out: Schema, place: string): Schema {
  const types: readonly unknown[] = Array.isArray(out.type) ? out.type : [out.type];
  const options = types.map((type) => {
    if (type === "string" && isCounted(out)) return counted(out);
    if (type === "number" && isBounded(out)) return bounded(out, place);
    return type === "integer" && isBounded(out) ? boundedInteger(out, place) : undefined;
  });
  if (options.every((option) => option === undefined)) return out;
  if (types.length === 1) return options[0] ?? out;
  const { type: _, ...rest } = out;
  return { ...rest, anyOf: types.map((type, i) => options[i] ?? { ...out, type }) };
}

function isCounted(schema: Schema): boolean {
  return schema.minLength !== undefined || schema.maxLength !== undefined;
}

function counted(schema: Schema): Schema {
  const { minLength, maxLength } = schema;
  return {
    ...schema,
    const: standInForString(Number(minLength ?? 0), Number(maxLength ?? Infinity)),
  };
}

function isBounded(schema: Schema): boolean {
  return [...BOUNDS].some((keyword) => keyword in schema);
}

const MOST = Number.MAX_SAFE_INTEGER;

function bounded(schema: Schema, place: string): Schema {
  const tightest = (included: unknown, open: unknown, sign: 1 | -1): Bound => {
    const bounds: Bound[] = [{ value: sign * MOST, included: true }];
    if (included !== undefined) bounds.push({ value: Number(included), included: true });
    if (open !== undefined) bounds.push({ value: Number(open), included: false });
    return bounds.reduce((a, b) => {
      const isTighter = sign * (a.value - b.value) > 0 || (a.value === b.value && !b.included);
      return isTighter ? b : a;
    });
  };
  const least = tightest(schema.minimum, schema.exclusiveMinimum, -1);
  const most = tightest(schema.maximum, schema.exclusiveMaximum, 1);
  const isEmpty = least.value > most.value ||
    (least.value === most.value && !(least.included && most.included));
  if (isEmpty) refuse(place, "leaves no number between its bounds");
  if (boundedNumber(new Rules(), least, most) === undefined) {
    refuse(place, "leaves no number of at most 15 digits between its bounds");
  }
  return { ...schema, const: standInForNumber(least, most) };
}

/** The compiler is exact about bounds on whole numbers where there are two of them: MOST is the other. */
function boundedInteger(schema: Schema, place: string): Schema {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, ...rest } = schema;
  const low = Math.max(
    Math.ceil(Number(minimum ?? -MOST)),
    Math.floor(Number(exclusiveMinimum ?? -Infinity)) + 1,
  );
  const high = Math.min(
    Math.floor(Number(maximum ?? MOST)),
    Math.ceil(Number(exclusiveMaximum ?? Infinity)) - 1,
  );
  if (low > high) refuse(place, "leaves no whole number between its bounds");
  if (low < -(2 ** 63) || high >= 2 ** 63) {
    refuse(place, "has a bound that no whole number of 64 bits reaches");
  }
  return { ...rest, type: "integer", minimum: low, maximum: high };
}

/** Without a type, the compiler passes over what is said about values of one type. */
function rewriteType(out: Record<string, unknown>): void {
  if (out.type !== undefined || DECIDING.some((keyword) => keyword in out)) return;
  const about = Object.keys(out).find((keyword) => Object.hasOwn(TYPE_OF, keyword));
  if (about !== undefined) out.type = TYPE_OF[about];
}
