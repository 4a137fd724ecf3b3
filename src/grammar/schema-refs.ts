/** References between the parts of a schema. */

import { quoted, refuse } from "./refuse.ts";
import { isObject } from "./schema-keywords.ts";

type Schema = Readonly<Record<string, unknown>>;

/**
 * What a `$ref` names.
 * @param ref `#` or `#/…`, a JSON pointer into `root` (RFC 6901)
 * @throws ArcticError `request_bad_grammar` for any other address, and where there is no schema
 */
export function resolveRef(root: Schema, ref: unknown, place: string): Schema {
  if (typeof ref !== "string") return refuse(place, "is not a string");
  if (ref !== "#" && !ref.startsWith("#/")) {
    return refuse(
      place,
      `names ${quoted(ref)}: only places in the same schema ("#/…") can be named`,
    );
  }
  let found: unknown = root;
  for (const step of ref.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    const inside = typeof found === "object" && found !== null && Object.hasOwn(found, name);
    found = inside ? Reflect.get(found as object, name) : undefined;
  }
  return isObject(found) ? found : refuse(place, `names ${quoted(ref)}, where there is no schema`);
}

/** The schemas that a value is held to without a step into the value. */
function* sameValue(root: Schema, schema: Schema, place: string): Generator<Schema> {
  if ("$ref" in schema) yield resolveRef(root, schema.$ref, place);
  for (const keyword of ["allOf", "anyOf", "oneOf"]) {
    const options = schema[keyword];
    if (!Array.isArray(options)) continue;
    for (const option of options) if (isObject(option)) yield option;
  }
}

/**
 * Refuses schemas that refer to themselves without describing anything, as `{"$ref":"#"}` does: there is
 * no text to begin with. A tree whose children are trees is fine.
 * @param schemas all of the document, with their places
 */
export function checkCycles(
  root: Schema,
  schemas: ReadonlyMap<Schema, { readonly place: string }>,
): void {
  const done = new Set<Schema>();
  const open = new Set<Schema>();
  for (const start of schemas.keys()) {
    if (done.has(start)) continue;
    open.add(start);
    const path = [{ schema: start, rest: sameValue(root, start, "#") }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.rest.next();
      if (next.done) {
        open.delete(top.schema);
        done.add(top.schema);
        path.pop();
      } else if (open.has(next.value)) {
        refuse(schemas.get(next.value)?.place ?? "#", "refers to itself without end");
      } else if (!done.has(next.value)) {
        open.add(next.value);
        path.push({ schema: next.value, rest: sameValue(root, next.value, "#") });
      }
    }
  }
}
