/** A small validator, written from the specification of JSON Schema, and a test for prefixes of JSON. */

type Schema = Readonly<Record<string, unknown>>;

const list = (value: unknown): readonly unknown[] => Array.isArray(value) ? value : [];
const same = (a: unknown, b: unknown) => Bun.deepEquals(a, b);

function typeMatches(type: unknown, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default: {
      const own: string = typeof value;
      return own === type;
    }
  }
}

export function admits(schema: unknown, value: unknown, root: unknown): boolean {
  if (typeof schema === "boolean") return schema;
  const s = schema as Schema;
  const under = (part: unknown, item: unknown) => admits(part, item, root);
  if (typeof s.$ref === "string") return under(at(root, s.$ref), value);
  if (s.type !== undefined && ![s.type].flat().some((type) => typeMatches(type, value))) {
    return false;
  }
  if ("const" in s && !same(s.const, value)) return false;
  if (s.enum && !list(s.enum).some((item) => same(item, value))) return false;
  if (s.anyOf && !list(s.anyOf).some((part) => under(part, value))) return false;
  if (typeof value === "number") return numberFits(s, value);
  if (typeof value === "string") return stringFits(s, value);
  if (Array.isArray(value)) {
    const prefix = list(s.prefixItems);
    return value.length >= Number(s.minItems ?? 0) &&
      value.length <= Number(s.maxItems ?? Infinity) &&
      value.every((item, i) => under(i < prefix.length ? prefix[i] : s.items ?? true, item));
  }
  if (typeof value !== "object" || value === null) return true;
  const properties = (s.properties ?? {}) as Schema;
  const patterns = Object.entries(s.patternProperties ?? {});
  return list(s.required).every((name) => Object.hasOwn(value, String(name))) &&
    Object.entries(value).every(([name, item]) => {
      const matching = patterns.filter(([pattern]) => new RegExp(pattern, "u").test(name));
      return under(s.propertyNames ?? true, name) && matching.every(([, part]) =>
        under(part, item)
      ) &&
        under(properties[name] ?? (matching.length > 0 || (s.additionalProperties ?? true)), item);
    });
}

function numberFits(s: Schema, value: number): boolean {
  return value >= Number(s.minimum ?? -Infinity) && value <= Number(s.maximum ?? Infinity) &&
    value > Number(s.exclusiveMinimum ?? -Infinity) &&
    value < Number(s.exclusiveMaximum ?? Infinity);
}

function stringFits(s: Schema, value: string): boolean {
  const length = [...value].length;
  if (length < Number(s.minLength ?? 0) || length > Number(s.maxLength ?? Infinity)) return false;
  if (typeof s.pattern === "string" && !new RegExp(s.pattern, "u").test(value)) return false;
  if (s.format === "email") return /^[^@\s]+@[^@\s]+$/.test(value);
  return s.format !== "date-time" ||
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value);
}

function at(root: unknown, ref: string): unknown {
  return ref.split("/").slice(1).reduce((found, name) => (found as Schema)[name], root);
}

/** Whether JSON can begin so, the last string, number or word aside, which may be cut off. */
export function isPrefix(text: string): boolean {
  const open: string[] = [];
  // What may come: a value, a key, what follows a key, or what follows a value.
  let state: "value" | "first value" | "key" | "first key" | "colon" | "after" = "value";
  const token =
    /[ \n\t\r]*(?:([[\]{},:])|("(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-f]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?|true|false|null)(?=[\s\]},]))/iuy;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [, mark, string, plain] = match;
    const wantsValue = state === "value" || state === "first value";
    if (mark === "{" && wantsValue) {
      open.push("}");
      state = "first key";
    } else if (mark === "[" && wantsValue) {
      open.push("]");
      state = "first value";
    } else if ((string ?? plain) !== undefined && wantsValue) {
      state = "after";
    } else if (string !== undefined && (state === "key" || state === "first key")) {
      state = "colon";
    } else if (mark === ":" && state === "colon") {
      state = "value";
    } else if (mark === "," && state === "after" && open.length > 0) {
      state = open.at(-1) === "}" ? "key" : "value";
    } else if (
      mark !== undefined && mark === open.at(-1) &&
      (state === "after" || state === (mark === "}" ? "first key" : "first value"))
    ) {
      open.pop();
      state = "after";
    } else {
      return false;
    }
    text = text.slice(token.lastIndex);
    token.lastIndex = 0;
  }
  const rest = text.trimStart();
  if (rest === "") return true;
  if (state === "after" || state === "colon") return false;
  return /^("([^"\\\p{Cc}]|\\.|\\u[\da-f]{0,4})*\\?|-?[\d.eE+-]*|[a-z]{1,5})$/iu.test(rest);
}
