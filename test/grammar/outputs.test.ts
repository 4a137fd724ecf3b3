/** Whatever the model's logits are, an output that ended is one that its grammar admits. */

import { afterAll, describe, expect, test } from "bun:test";
import { Bench, embedded, hasLlama, LLAMA, vocabularyOf } from "./support.ts";
import { admits, isPrefix } from "./json-schema.ts";

const benches = [
  { name: "the embedded model's vocabulary", make: embedded },
  ...(hasLlama
    ? [{ name: "the vocabulary of Llama 2", make: () => vocabularyOf(LLAMA, 100) }]
    : []),
].map(({ name, make }) => ({ name, bench: new Bench(make()) }));
afterAll(() => {
  for (const { bench } of benches) bench.close();
});

const tool = (name: string, properties: object) => ({
  type: "object",
  properties: {
    name: { const: name },
    arguments: { type: "object", properties, required: Object.keys(properties) },
  },
  required: ["name", "arguments"],
});

const schemas: Readonly<Record<string, object>> = {
  object: {
    type: "object",
    properties: {
      text: { type: "string" },
      count: { type: "integer" },
      share: { type: "number" },
      yes: { type: "boolean" },
      none: { type: "null" },
    },
    required: ["text", "count", "share", "yes", "none"],
  },
  optional: {
    type: "object",
    description: "Only the second is required.",
    properties: { a: { type: "integer" }, b: { enum: ["x", "y"] }, c: { type: "string" } },
    required: ["b"],
  },
  nested: {
    type: "object",
    properties: {
      items: {
        type: "array",
        minItems: 1,
        maxItems: 3,
        items: { type: "object", properties: { id: { type: "integer" } }, required: ["id"] },
      },
    },
    required: ["items"],
  },
  enum: { enum: ["red", 'a "quoted" \\ one', "é\n", 3, null, { a: [1] }] },
  const: { const: "only this" },
  lengths: { type: "string", minLength: 2, maxLength: 5 },
  "whole numbers": { type: "integer", minimum: -12, maximum: 105 },
  "exclusive bounds": { type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 8 },
  "at least": { type: "integer", minimum: 2 },
  "at most": { type: "integer", exclusiveMaximum: -100.5 },
  "no type": { properties: { a: { maxLength: 3 } }, required: ["a"] },
  types: { type: ["string", "null"] },
  "any of": { anyOf: [{ type: "boolean" }, { type: "array", items: { type: "integer" } }] },
  reference: {
    $ref: "#/$defs/tree",
    $defs: {
      tree: {
        type: "object",
        properties: {
          v: { type: "boolean" },
          kids: { type: "array", maxItems: 2, items: { $ref: "#/$defs/tree" } },
        },
        required: ["v", "kids"],
      },
    },
  },
  tuple: { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], minItems: 2 },
  pattern: { type: "string", pattern: "^[a-z]{2,4}-\\d+$" },
  "pattern with what JSON escapes": {
    type: "string",
    pattern: '^.[^a]\\s[ -~]"\\\\\\n[\\w.-]+\\.$',
  },
  email: { type: "string", format: "email" },
  time: { type: "string", format: "date-time" },
  "additional properties": {
    type: "object",
    properties: { a: { type: "boolean" } },
    required: ["a"],
    additionalProperties: { type: "integer" },
  },
  "required without a description": {
    type: "object",
    properties: { a: { type: "boolean" } },
    required: ["b", "a"],
    additionalProperties: { type: "integer" },
  },
  "only required": { required: ["z"] },
  "values by any name": {
    type: "object",
    propertyNames: { type: "string" },
    additionalProperties: { type: "integer" },
  },
  "values by listed names": {
    type: "object",
    propertyNames: { type: "string", enum: ["a", "b"] },
    additionalProperties: { type: "integer" },
    required: ["a"],
  },
  "values by one name": {
    type: "object",
    propertyNames: { const: "a" },
    additionalProperties: { type: "integer" },
  },
  "values by short names": {
    type: "object",
    propertyNames: { maxLength: 3 },
    additionalProperties: { type: "boolean" },
  },
  "values by a pattern": {
    type: "object",
    patternProperties: { "^[a-z]@$": { type: "null" } },
    additionalProperties: false,
  },
  "calls of tools": {
    anyOf: [
      tool("get_weather", { city: { type: "string" }, days: { type: "integer" } }),
      tool("add", { a: { type: "number" }, b: { type: "number" } }),
    ],
  },
};

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

describe.each(benches)("$name", ({ bench }) => {
  test("JSON is an object", async () => {
    for (const seed of SEEDS) {
      const { tokens, ended } = await bench.draw({ kind: "json" }, seed);
      const text = new TextDecoder().decode(bench.bytes(tokens));
      if (ended) expect(JSON.parse(bench.text(tokens))).toBeObject();
      else expect(isPrefix(text)).toBe(true);
    }
  });

  test.each(Object.entries(schemas))("schema: %s", async (_, schema) => {
    let ends = 0;
    for (const seed of SEEDS) {
      const { tokens, ended } = await bench.draw({ kind: "json-schema", schema }, seed);
      if (!ended) {
        expect(isPrefix(new TextDecoder().decode(bench.bytes(tokens)))).toBe(true);
        continue;
      }
      ends++;
      const text = bench.text(tokens);
      const value: unknown = JSON.parse(text);
      expect(text, `seed ${seed}`).toSatisfy(() => admits(schema, value, schema));
    }
    expect(ends).toBeGreaterThan(0);
  });

  test("an EBNF", async () => {
    const text = 'root ::= "SELECT " name (", " name)* ";"\nname ::= [a-c]+ | "é"';
    for (const seed of SEEDS) {
      const { tokens, ended } = await bench.draw({ kind: "ebnf", text }, seed);
      const written = new TextDecoder().decode(bench.bytes(tokens));
      if (ended) expect(written).toMatch(/^SELECT ([a-c]+|é)(, ([a-c]+|é))*;$/);
      else expect(written).toMatch(/^SELECT /);
    }
  });

  test.each([
    ["half of a surrogate pair", [0xed, 0xa0, 0x80], 1],
    ["two bytes for one", [0xc1, 0x81], 0],
    ["three bytes for two", [0xe0, 0x80, 0x80], 1],
    ["four bytes for three", [0xf0, 0x80, 0x80, 0x80], 1],
    ["beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80], 1],
    ["beyond that", [0xf5, 0x80, 0x80, 0x80], 0],
    ["no beginning", [0x80], 0],
    ["no end", [0xe2, 0x82, 0x22], 2],
    ["the euro sign", [0xe2, 0x82, 0xac, 0x22], 4],
    ["the last character", [0xf4, 0x8f, 0xbf, 0xbf, 0x22], 5],
  ])("bytes of a string are UTF-8: %s", async (_, bytes, admitted) => {
    for (const schema of [{ type: "string" }, { type: "string", maxLength: 40 }]) {
      const lease = await bench.grammars.compile({ kind: "json-schema", schema });
      const constraint = bench.constraint(lease.id);
      let count = -1;
      for (const byte of [0x22, ...bytes]) {
        await constraint.ready();
        const id = bench.vocabulary.tokens.findIndex((token) =>
          token.length === 1 && token[0] === byte
        );
        if (!constraint.admits(id)) break;
        constraint.accept(id);
        count++;
      }
      expect(count).toBe(admitted);
      constraint.close();
      lease.release();
    }
  });

  test("cut off anywhere, what is there can be continued", async () => {
    for (const max of [1, 2, 3, 5, 8, 13, 21]) {
      const spec = { kind: "json-schema", schema: schemas.object } as const;
      const { tokens, ended } = await bench.draw(spec, max, max);
      expect(ended).toBe(false);
      expect(isPrefix(new TextDecoder().decode(bench.bytes(tokens)))).toBe(true);
    }
  });
});

test("the check of outputs can fail", () => {
  expect(admits(schemas["at least"] ?? {}, 1, {})).toBe(false);
  expect(admits(schemas.lengths ?? {}, "a", {})).toBe(false);
  expect(admits({ type: "object", required: ["a"] }, {}, {})).toBe(false);
  expect(admits(schemas["calls of tools"] ?? {}, { name: "add", arguments: { a: 1 } }, {})).toBe(
    false,
  );
  expect(isPrefix('{"a": 1}5')).toBe(false);
  expect(isPrefix('{"a" "b"')).toBe(false);
  expect(isPrefix('{"a": [1, "')).toBe(true);
});
