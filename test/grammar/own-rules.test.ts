/** Strings of a counted length and numbers between bounds: what they admit is exactly what they should. */

import { afterAll, describe, expect, test } from "bun:test";
import { defined } from "../../src/assert.ts";
import { limits } from "../../src/limits.ts";
import { Bench, embedded, hasLlama, LLAMA, mulberry, vocabularyOf } from "./support.ts";
import { admits } from "./json-schema.ts";

const benches = [
  { name: "the embedded model's vocabulary", make: embedded },
  ...(hasLlama
    ? [{ name: "the vocabulary of Llama 2", make: () => vocabularyOf(LLAMA, 100) }]
    : []),
].map(({ name, make }) => ({ name, bench: new Bench(make()) }));
afterAll(() => {
  for (const { bench } of benches) bench.close();
});

/** What a string has so far: whole characters, and what of an escape has been written. */
interface Place {
  readonly count: number;
  readonly escape: string;
  readonly closed: boolean;
}

const ESCAPE =
  /^\\(?:$|["\\/bfnrt]$|u(?:$|[dD]$|[dD][0-7]$|[dD][0-7][\da-fA-F]{1,2}$|[\dabcefABCEF](?:$|[\da-fA-F]{1,3}$)))/;

/** The place after one more ASCII character; undefined where it may not stand. */
function next(
  { count, escape, closed }: Place,
  char: string,
  least: number,
  most: number,
): Place | undefined {
  if (closed) return undefined;
  if (escape !== "") {
    const longer = escape + char;
    if (!ESCAPE.test(longer)) return undefined;
    const isWhole = longer.length === (longer[1] === "u" ? 6 : 2);
    return isWhole ? { count: count + 1, escape: "", closed } : { count, escape: longer, closed };
  }
  if (char === '"') return count >= least ? { count, escape, closed: true } : undefined;
  if (count === most || char < " ") return undefined;
  return char === "\\" ? { count, escape: char, closed } : { count: count + 1, escape, closed };
}

const LENGTHS: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 3],
  [2, 5],
  [1, 15],
  [0, 16],
  [3, 17],
  [1, 50],
  [20, 45],
  [17, 17],
  [40, Infinity],
  [3, Infinity],
  [90, 200],
];

describe.each(benches)("$name", ({ bench }) => {
  const ascii = [...bench.vocabulary.tokens].flatMap((bytes, id) =>
    bytes.length > 0 && bytes.every((byte) => byte < 0x80)
      ? [{ id, text: new TextDecoder().decode(bytes) }]
      : []
  );

  test.each(LENGTHS)("a string of %d to %d characters", async (least, most) => {
    const schema = {
      type: "string",
      minLength: least,
      ...(most < Infinity && { maxLength: most }),
    };
    const lease = await bench.grammars.compile({ kind: "json-schema", schema });
    const random = mulberry(least + most);
    for (let walk = 0; walk < 2; walk++) {
      const constraint = bench.constraint(lease.id);
      await constraint.ready();
      constraint.accept(defined(bench.spelled('"')[0], "a quotation mark"));
      let place: Place = { count: 0, escape: "", closed: false };
      // Only what is closed where nothing else can come tells whether the most is reached.
      const longest = most < 100 ? 120 : 40;
      for (let steps = 0; !place.closed && steps < longest; steps++) {
        await constraint.ready();
        const expected: { id: number; place: Place }[] = [];
        for (const { id, text } of ascii) {
          let after: Place | undefined = place;
          for (const char of text) after = after && next(after, char, least, most);
          if (after) expected.push({ id, place: after });
          if (constraint.admits(id) !== (after !== undefined)) {
            throw new Error(`${JSON.stringify(text)} at ${JSON.stringify(place)}: not ${!after}`);
          }
        }
        const open = expected.filter(({ place }) => !place.closed);
        const from = open.length > 0 && steps < 100 ? open : expected;
        const drawn = defined(from[Math.floor(random() * from.length)], "an admitted token");
        constraint.accept(drawn.id);
        place = drawn.place;
      }
      if (most < 100) expect(place).toMatchObject({ count: most, closed: true });
      constraint.close();
    }
    lease.release();
  });

  test.each([
    [{ type: "string", maxLength: limits.grammarCharacters }, '"abc"'],
    [{ type: ["null", "string"], minLength: 2, maxLength: 300 }, "null"],
    [{ type: ["null", "string"], minLength: 2, maxLength: 300 }, '"🎉é"'],
    [{ type: "string", maxLength: 3, format: "date" }, '"abc"'],
    [{ type: "object", propertyNames: { maxLength: 12 } }, '{"abc": 1}'],
    [{ anyOf: [{ type: "string", maxLength: 90 }, { type: "number", minimum: 2 }] }, "2.5"],
    [{ type: ["string", "number"], maxLength: 2, exclusiveMinimum: 2 }, "2.5"],
    [{ type: ["integer", "null"], minimum: 2, maximum: 3 }, "3"],
    [{ type: "number", maximum: 1e-7 }, "-0.00000000000001"],
    [{ $ref: "#/$defs/x", $defs: { x: { type: "string", maxLength: 70 } } }, '"a"'],
  ])("%j admits %s", async (schema, text) => {
    expect(await follows(bench, schema, text)).toBe(true);
  });

  test.each([
    [{ type: ["null", "string"], minLength: 2, maxLength: 300 }, '"🎉"'],
    [{ type: ["null", "string"], minLength: 2, maxLength: 300 }, "1"],
    [{ type: "string", maxLength: 2 }, '"🎉🎉🎉"'],
    [{ type: "string", maxLength: 30 }, '"\\ud83c\\udf89"'],
    [{ type: "string", maxLength: 30 }, '"\n"'],
    [{ type: ["integer", "null"], minimum: 2, maximum: 3 }, "4"],
    [{ type: ["string", "number"], maxLength: 2, exclusiveMinimum: 2 }, "2"],
    [{ type: "number", maximum: 1e-7 }, "0.0000002"],
    [{ type: "number", minimum: 0 }, "-1"],
    [{ type: "number", minimum: 0 }, "1e5"],
  ])("%j does not admit %s", async (schema, text) => {
    expect(await follows(bench, schema, text)).toBe(false);
  });

  test("many long strings compile in the time of one", async () => {
    const properties = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`p${i}`, { type: "string", maxLength: 100 * (i + 1) }]),
    );
    const schema = { type: "object", properties, required: Object.keys(properties) };
    const { tokens } = await bench.draw({ kind: "json-schema", schema }, 1, 100);
    expect(tokens).toHaveLength(100);
  });

  test.each([
    { minimum: "0", maximum: "1" },
    { exclusiveMinimum: "0", exclusiveMaximum: "1" },
    { minimum: "-1.5", exclusiveMaximum: "0.05" },
    { minimum: "-90", maximum: "90" },
    { exclusiveMinimum: "-31.25", maximum: "-2.5" },
    { minimum: "17.125", exclusiveMaximum: "17.25" },
    { minimum: "95.5", maximum: "1000.25" },
    { exclusiveMinimum: "99.99", maximum: "100" },
    { minimum: "0.25" },
    { exclusiveMaximum: "0" },
    { minimum: "2", maximum: "2" },
  ])("a number of %j", async (texts) => {
    const bounds = Object.fromEntries(
      Object.entries(texts).map(([keyword, text]) => [keyword, Number(text)]),
    );
    const schema = { type: "number", ...bounds };
    const random = mulberry(7);
    const near = Object.values(texts).flatMap((text) => [text, `${text}.0`, `${text}00`]);
    const seen = { inside: 0, outside: 0 };
    const drawn = Array.from({ length: 60 }, () => decimal(random, Object.values(texts)));
    for (const text of [...near, ...drawn, "-0", "0", "0.0", "00", "1.", "-", "01", ".5"]) {
      const isNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text) && !/^-[0.]*$/.test(text);
      const isInside = isNumber && admits(schema, Number(text), schema);
      seen[isInside ? "inside" : "outside"]++;
      expect([text, await follows(bench, schema, text)]).toEqual([text, isInside]);
    }
    expect(seen.inside).toBeGreaterThan(0);
    expect(seen.outside).toBeGreaterThan(5);
    for (const seed of [1, 2, 3, 4]) {
      const { tokens, ended } = await bench.draw({ kind: "json-schema", schema }, seed);
      expect(ended).toBe(true);
      const value: unknown = JSON.parse(bench.text(tokens));
      expect(value).toSatisfy((value) => admits(schema, value, schema));
    }
  });
});

/** Whether a text, taken byte by byte, is one that a schema admits. */
async function follows(bench: Bench, schema: object, text: string): Promise<boolean> {
  const lease = await bench.grammars.compile({ kind: "json-schema", schema });
  const constraint = bench.constraint(lease.id);
  try {
    for (const byte of Buffer.from(text)) {
      await constraint.ready();
      const id = bench.vocabulary.tokens.findIndex((token) =>
        token.length === 1 && token[0] === byte
      );
      if (!constraint.admits(id)) return false;
      constraint.accept(id);
    }
    await constraint.ready();
    return constraint.admits(bench.vocabulary.eos);
  } finally {
    constraint.close();
    lease.release();
  }
}

/** A number of a few digits, often one that begins as a bound does. */
function decimal(random: () => number, bounds: readonly string[]): string {
  const digits = (most: number) =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, () => Math.floor(random() * 10))
      .join("");
  const bound = defined(bounds[Math.floor(random() * bounds.length)], "a bound");
  const begun = bound.slice(0, Math.floor(random() * (bound.length + 1)));
  const choice = random();
  const text = choice < 0.4
    ? begun + digits(3)
    : choice < 0.7
    ? `${begun.split(".")[0]}.${digits(3)}`
    : `${digits(3)}.${digits(4)}`;
  return random() < 0.2 ? `-${text}` : text;
}
