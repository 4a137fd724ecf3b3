import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../src/limits.ts";
import { jsonExcess } from "../../src/server/json-scan.ts";

const scan = (text: string) => jsonExcess(new TextEncoder().encode(text));
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

describe("at a limit and one past it", () => {
  test("nesting", () => {
    expect(scan(nested(limits.requestJsonDepth))).toBeUndefined();
    expect(scan(nested(limits.requestJsonDepth + 1))).toContain("nested");
    expect(scan(`{"a":${nested(limits.requestJsonDepth)}}`)).toContain("nested");
  });

  test("members", () => {
    expect(scan(":".repeat(limits.requestJsonMembers))).toBeUndefined();
    expect(scan(":".repeat(limits.requestJsonMembers + 1))).toContain("keys");
  });

  test("values", () => {
    expect(scan(",".repeat(limits.requestJsonCommas))).toBeUndefined();
    expect(scan(",".repeat(limits.requestJsonCommas + 1))).toContain("values");
  });
});

test.each([
  ["in strings", JSON.stringify({ a: "[".repeat(200) })],
  ["after an escaped quote", String.raw`"\"${"[".repeat(200)}"`],
  ["after an escaped backslash", String.raw`["\\"]`],
  ["side by side", `[${Array(200).fill("[]").join(",")}]`],
])("brackets %s do not nest", (_, text) => expect(scan(text)).toBeUndefined());

test("a bracket after a closed string counts", () => {
  expect(scan(String.raw`["\\",` + "[".repeat(limits.requestJsonDepth))).toContain("nested");
});

test.each(["", '"', '"\\', "]]]]", '"unclosed [[['])("%p is left to the parser", (text) => {
  expect(scan(text)).toBeUndefined();
});

test("the depth found is that of the value", () => {
  const depthOf = (value: unknown): number =>
    typeof value === "object" && value !== null
      ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
      : 0;
  fc.assert(fc.property(fc.json({ maxDepth: 6 }), (text) => {
    const around = limits.requestJsonDepth - depthOf(JSON.parse(text));
    expect(scan("[".repeat(around) + text + "]".repeat(around))).toBeUndefined();
    expect(scan("[".repeat(around + 1) + text + "]".repeat(around + 1))).toContain("nested");
  }));
});
