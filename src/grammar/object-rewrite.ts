/** What a schema says about the names of an object, as the compiler follows it. */

import { jsonPattern } from "./json-pattern.ts";
import { quoted, refuse } from "./refuse.ts";
import { ANNOTATIONS, isObject } from "./schema-keywords.ts";

type Schema = Record<string, unknown>;

/** @throws ArcticError `request_bad_grammar` for what cannot be followed, or not together */
export function rewriteObject(out: Schema, place: string): void {
  rewriteNames(out, place);
  rewritePatterns(out, place);
  rewriteRequired(out, place);
}

/** Where a schema says of names what they are, the compiler does not look at the values. */
function rewriteNames(out: Schema, place: string): void {
  const { propertyNames: names } = out;
  delete out.propertyNames;
  if (names === undefined || names === true) return;
  const values = otherValues(out);
  if (values === undefined) {
    if (isObject(out.properties) && Object.keys(out.properties).length > 0) {
      refuse(
        `${place}/propertyNames`,
        "says nothing where all names are in properties. Leave it out",
      );
    }
    return;
  }
  const { type = "string", const: only, enum: several, pattern, minLength, maxLength, ...others } =
    isObject(names) ? names : { type: names };
  const listed = only === undefined ? several : [only];
  const isKnown = Object.keys(others).every((keyword) => ANNOTATIONS.has(keyword));
  if (type !== "string" || !isKnown) {
    refuse(
      `${place}/propertyNames`,
      "can be followed only where it is an enum, a pattern or a length",
    );
  }
  if (Array.isArray(listed)) {
    refuseBeside(out, "properties", "propertyNames", place);
    const known = listed.filter((name) => typeof name === "string");
    out.properties = Object.fromEntries(known.map((name) => [name, values]));
    out.additionalProperties = false;
  } else if (pattern !== undefined || minLength !== undefined || maxLength !== undefined) {
    refuseBeside(out, "patternProperties", "propertyNames", place);
    const counted = `^.{${Number(minLength ?? 0)},${maxLength ?? ""}}$`;
    out.patternProperties = { [String(pattern ?? counted)]: values };
  }
}

/** Where names have patterns, the compiler looks at nothing else, and a name may match only one. */
function rewritePatterns(out: Schema, place: string): void {
  const { patternProperties: patterns } = out;
  if (!isObject(patterns)) return;
  refuseBeside(out, "properties", "patternProperties", place);
  refuseBeside(out, "required", "patternProperties", place);
  const [only, ...more] = Object.entries(patterns);
  if (only === undefined || more.length > 0) {
    return refuse(`${place}/patternProperties`, "has to be one pattern");
  }
  const [pattern, values] = only;
  out.patternProperties = { [jsonPattern(pattern, `${place}/patternProperties`)]: values };
}

/** What is required without being described: the compiler knows no such property. */
function rewriteRequired(out: Schema, place: string): void {
  if (!Array.isArray(out.required)) return;
  const known = isObject(out.properties) ? out.properties : {};
  const missing = out.required.map(String).filter((name) => !Object.hasOwn(known, name));
  if (missing.length === 0) return;
  const values = otherValues(out);
  if (values === undefined) {
    return refuse(place, `requires ${quoted(missing[0] ?? "")}, which is none of its properties`);
  }
  out.properties = Object.fromEntries([
    ...Object.entries(known),
    ...missing.map((name) => [name, values]),
  ]);
}

/** What properties are that nothing else describes; undefined where there are none. */
function otherValues({ additionalProperties, unevaluatedProperties }: Schema): unknown {
  const others = additionalProperties ?? unevaluatedProperties;
  if (others === false) return undefined;
  return isObject(others) ? others : {};
}

function refuseBeside(out: Schema, other: string, keyword: string, place: string): void {
  if (other in out) {
    refuse(place, `has ${other} beside ${keyword}, which cannot be followed together`);
  }
}
