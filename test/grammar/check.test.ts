import { describe, expect, test } from "bun:test";
import { errorCode } from "../../src/errors.ts";
import { checkGrammar } from "../../src/grammar/check.ts";
import type { GrammarSpec } from "../../src/grammar/grammar.ts";
import { limits } from "../../src/limits.ts";
import { Stopwatch } from "../support/own-time.ts";

function refusal(spec: GrammarSpec): string {
  try {
    checkGrammar(spec);
  } catch (error) {
    expect(errorCode(error)).toBe("request_bad_grammar");
    return (error as Error).message;
  }
  return "accepted";
}
const ofSchema = (schema: unknown) => refusal({ kind: "json-schema", schema });
const ofPattern = (pattern: string) => ofSchema({ type: "string", pattern });
const ofEbnf = (text: string) => refusal({ kind: "ebnf", text });

function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let schema: unknown = { type: "string" };
  for (let i = 1; i < depth; i++) schema = wrap(schema);
  return schema;
}
const inArray = (items: unknown) => ({ type: "array", items });
const inProperty = (a: unknown) => ({ type: "object", properties: { a } });
const properties = (n: number) =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, { type: "integer" }]));

describe("a JSON Schema at its limit is accepted, and one past it is not", () => {
  test.each([
    ["depth, items", (n: number) => nested(n, inArray), limits.grammarDepth, "deep"],
    ["depth, properties", (n: number) => nested(n, inProperty), limits.grammarDepth, "deep"],
    [
      "properties",
      (n: number) => ({ type: "object", properties: properties(n) }),
      limits.grammarProperties,
      "properties more than 1024",
    ],
    [
      "values of enums",
      (n: number) => ({ enum: Array.from({ length: n }, (_, i) => i) }),
      limits.grammarEnumValues,
      "1024",
    ],
    ["maxLength", (n: number) => ({ maxLength: n }), limits.grammarCharacters, "#/maxLength"],
    ["maxItems", (n: number) => ({ maxItems: n }), limits.grammarRepeats, "#/maxItems"],
    [
      "counts in all",
      (n: number) => inProperties(8, { maxItems: n / 8 }),
      limits.grammarRepeatsTotal,
      "in all",
    ],
    [
      "characters of a string",
      (n: number) => ({ const: "x".repeat(n) }),
      limits.grammarStringCharacters,
      "characters",
    ],
    [
      "characters of a pattern",
      (n: number) => ({ pattern: "a".repeat(n) }),
      limits.patternCharacters,
      "#/pattern",
    ],
    [
      "values of any kind",
      (n: number) => ({ examples: Array.from({ length: n - 2 }, () => 0) }),
      limits.grammarNodes,
      "values",
    ],
  ])("%s", (_, make, limit, words) => {
    expect(ofSchema(make(limit))).toBe("accepted");
    expect(ofSchema(make(limit + (limit === limits.grammarRepeatsTotal ? 8 : 1)))).toContain(words);
  });

  function inProperties(n: number, schema: unknown): unknown {
    return {
      type: "object",
      properties: Object.fromEntries(
        Array.from({ length: n }, (_, i) => [`p${i}`, structuredClone(schema)]),
      ),
    };
  }
});

test.each([
  [null, "not an object"],
  [true, "not an object"],
  [[], "not an object"],
  [{ type: "strng" }, "#/type"],
  [{ type: ["string", 3] }, "#/type"],
  [{ type: [] }, "#/type"],
  [{ type: "object", properties: { a: { type: "date" } } }, "#/properties/a/type"],
  [{ properties: [] }, "#/properties"],
  [{ properties: { a: 3 } }, "#/properties"],
  [{ items: [{ type: "string" }] }, "#/items"],
  [{ required: "a" }, "#/required"],
  [{ enum: [] }, "#/enum"],
  [{ anyOf: [] }, "#/anyOf"],
  [{ anyOf: [{ type: "x" }] }, "#/anyOf/0/type"],
  [{ minLength: -1 }, "#/minLength"],
  [{ maxItems: 1.5 }, "#/maxItems"],
  [{ maxItems: "2" }, "#/maxItems"],
  [{ type: "number", minimum: 1, maximum: 0.5 }, "no number"],
  [{ minimum: 1, exclusiveMaximum: 1 }, "no number"],
  [{ type: "integer", minimum: 1.2, maximum: 1.8 }, "no whole number"],
  [{ type: "string", pattern: '["\\\\]' }, "#/pattern"],
  [{ minItems: 3, maxItems: 2 }, "minItems above its maxItems"],
  [{ type: "integer", minimum: 1e300 }, "no whole number"],
  [{ type: "number", minimum: 1e300 }, "no number"],
  [{ type: "number", minimum: "0" }, "#/minimum"],
  [{ propertyNames: { pattern: "a" }, properties: { a: {} } }, "properties beside"],
  [{ propertyNames: { enum: ["a"] }, properties: { a: {} } }, "properties beside propertyNames"],
  [{ propertyNames: { $ref: "#/$defs/a" }, $defs: { a: {} } }, "#/propertyNames"],
  [{ propertyNames: false }, "#/propertyNames"],
  [{ patternProperties: { a: {} }, properties: { a: {} } }, "properties beside patternProperties"],
  [{ patternProperties: { a: {} }, required: ["a"] }, "required beside patternProperties"],
  [{ patternProperties: { a: {}, b: {} } }, "one pattern"],
  [{ properties: { a: {} }, required: ["b"], additionalProperties: false }, 'requires "b"'],
  [{ required: ["b"], unevaluatedProperties: false }, 'requires "b"'],
  [
    { propertyNames: { maxLength: 1 }, properties: { abc: {} }, additionalProperties: false },
    "#/propertyNames",
  ],
  [{ type: "number", minimum: 1 / 3, maximum: 1 / 3 }, "15 digits"],
  [{ type: "integer", minimum: 2 ** 63, maximum: 2 ** 64 }, "64 bits"],
  [{ type: "integer", exclusiveMaximum: true }, "#/exclusiveMaximum"],
  [{ not: { type: "string" } }, "#/not"],
  [{ if: {}, then: {} }, "#/if"],
  [{ uniqueItems: true }, "#/uniqueItems"],
  [{ multipleOf: 2 }, "#/multipleOf"],
  [{ allOf: [{}, {}] }, "#/allOf"],
  [{ anyOf: [{ type: "object" }], properties: {} }, "properties beside anyOf"],
  [{ type: "object", anyOf: [{ type: "string" }] }, "type beside anyOf"],
  [{ type: "string", enum: ["a", 1] }, "type beside enum"],
  [{ pattern: "a", maxLength: 3 }, "maxLength beside pattern"],
  [{ pattern: "(" }, "#/pattern"],
  [{ patternProperties: { "a(?=b)": {} } }, "#/patternProperties/a(?=b)"],
  [{ const: "\ud800" }, "surrogate"],
  [{ const: "\uffffstring 0 9\uffff" }, "no character"],
  [{ properties: { "\uffff": {} } }, "no character"],
])("%j is refused for %s", (schema, words) => {
  expect(ofSchema(schema)).toContain(words);
});

test.each([
  [{ $ref: "https://example.com/schema.json" }, "#/$ref"],
  [{ $ref: "file:///etc/passwd" }, "#/$ref"],
  [{ $ref: "other.json#/a" }, "#/$ref"],
  [{ $ref: "#name" }, "#/$ref"],
  [{ $ref: 3 }, "#/$ref"],
  [{ $ref: "#/$defs/missing" }, "no schema"],
  [{ $ref: "#/constructor" }, "no schema"],
  [{ $ref: "#/__proto__" }, "no schema"],
  [{ $ref: "#/$defs/a", $defs: { a: { type: "nope" } } }, "#/$defs/a/type"],
  [{ $ref: "#/x/a", x: { a: { type: "nope" } } }, "#/x/a/type"],
  [{ $ref: "#" }, "refers to itself"],
  [{ anyOf: [{ type: "null" }, { $ref: "#" }] }, "refers to itself"],
  [
    {
      $ref: "#/$defs/a",
      $defs: { a: { $ref: "#/$defs/b" }, b: { anyOf: [{ $ref: "#/$defs/a" }] } },
    },
    "refers to itself",
  ],
])("the references of %j are refused for %s", (schema, words) => {
  expect(ofSchema(schema)).toContain(words);
});

test.each([
  [{}],
  [{ type: "object", title: "T", description: "d", properties: { a: true } }],
  [{ type: ["string", "null"] }],
  [{ type: "string", enum: ["a", "b"] }],
  [{ type: "integer", const: 3 }],
  [{ anyOf: [{ type: "string" }, { type: "null" }], default: null }],
  [{ type: "object", oneOf: [{ type: "object" }], discriminator: { propertyName: "k" } }],
  [{ $ref: "#/$defs/a~1b", $defs: { "a/b": { type: "string" } } }],
  [{ type: "object", properties: { next: { anyOf: [{ $ref: "#" }, { type: "null" }] } } }],
  [{ type: "string", format: "date-time" }],
  [{ type: "string", maxLength: 4_000 }],
  [{ type: "number", minimum: 0 }],
  [{ minimum: 0 }],
  [{ type: ["number", "null"], exclusiveMinimum: -1.5, maximum: 1e-7 }],
  [{ type: "string", pattern: "^(?:[a-z]{2,8})(-\\d+)?$" }],
])("%j is accepted", (schema) => {
  expect(ofSchema(schema)).toBe("accepted");
});

test.each([
  ["((a{1,1000}){1,1000}){1,1000}", "multiply"],
  ["(a{90}){92}", "multiply"],
  ["a{4097}", "4097 times"],
  ["a{9999999999}", "9999999999 times"],
  ["(?=a)b", "looks ahead"],
  ["(?<!a)b", "looks ahead or behind"],
  ["(a)\\1", "backreference"],
  ["(?<x>a)\\k<x>", "backreference"],
  ["\\bword\\b", "word boundary"],
  ["\\p{L}+", "Unicode property"],
  ["[é-ü]", "beyond ASCII"],
  ["[^\\u{1f600}]", "beyond ASCII"],
  ["[z-a]", "not a regular expression"],
  ["(".repeat(40) + "a" + ")".repeat(40), "nests groups"],
])("the pattern %s is refused: %s", (pattern, words) => {
  expect(ofPattern(pattern)).toContain(words);
});

test.each([["(a{90}){91}"], ["[(){}]{5}\\(\\)"], ["(?<year>\\d{4})-[^\\]]*"], ["a|b|c{2,}"]])(
  "the pattern %s is accepted",
  (pattern) => expect(ofPattern(pattern)).toBe("accepted"),
);

test.each([
  ["", "empty"],
  [" \n", "empty"],
  ['root ::= "a"\n# ' + "x".repeat(limits.grammarBytes), "bytes"],
  ["root ::= (" + "é".repeat(limits.grammarBytes / 2) + ")", "bytes"],
  ['root ::= "a"\nb ::= (("x"{1,100}){1,100}){1,100}', "line 2, is too large"],
  ["root ::= " + "(".repeat(40) + '"a"' + ")".repeat(40), "nests groups"],
  ['root ::= "a")', "not open"],
  ["root ::= [é]", "beyond ASCII"],
  ["root ::= [^\\u4e00-\\u9fff]", "beyond ASCII"],
  ["root ::= [\\xe9]", "beyond ASCII"],
  ['root ::= ("a"', "does not close"],
])("the EBNF %s is refused: %s", (text, words) => {
  expect(ofEbnf(text.slice(0))).toContain(words);
});

test.each([
  ['root ::= "{((((" [({{] # ((( {9999999}\n'],
  ['root ::= [^\\x00-\\x1f\\u0041]* "é"'],
  ['root ::= item{1,100}\nitem ::= [a-z]+ ("," | ";\\"(")?'],
])("the EBNF %s is accepted", (text) => expect(ofEbnf(text)).toBe("accepted"));

test("huge schemas are refused in no time", () => {
  let deep = '{"type":"string"}';
  for (let i = 0; i < 15; i++) deep = `{"type":"array","items":${deep}}`;
  const hostile: unknown[] = [
    JSON.parse('{"items":'.repeat(200_000) + "{}" + "}".repeat(200_000)),
    { enum: Array.from({ length: 1_000_000 }, (_, i) => i) },
    { type: "object", properties: properties(100_000) },
    { anyOf: Array.from({ length: 10_000 }, () => JSON.parse(deep)) },
    { pattern: "(".repeat(1_000_000) },
  ];
  for (const schema of hostile) {
    const watch = new Stopwatch();
    expect(ofSchema(schema)).not.toBe("accepted");
    expect(watch.own()).toBeLessThan(500);
  }
});
