import { expect, test } from "bun:test";
import fc from "fast-check";
import { StopMatcher } from "../../src/engine/stop.ts";

/** All text that comes out, and whether it was stopped. */
function run(stops: string[], pieces: string[]) {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) {
    const matched = matcher.push(piece);
    text += matched.text;
    if (matched.stop !== undefined) return { text, stopped: true };
  }
  return { text: text + matcher.flush(), stopped: false };
}

test("finds a stop string inside and across pieces", () => {
  expect(run(["END"], ["abENDcd"])).toEqual({ text: "ab", stopped: true });
  expect(run(["END"], ["abE", "N", "Dcd"])).toEqual({ text: "ab", stopped: true });
});

test("shows at once what cannot belong to a stop string", () => {
  const matcher = new StopMatcher(["END"]);
  expect(matcher.push("abEN").text).toBe("ab");
  expect(matcher.push("x").text).toBe("ENx");
});

test("of several stop strings the one that is complete first counts, then the longer one", () => {
  expect(run(["d", "bc"], ["abcd"])).toEqual({ text: "a", stopped: true });
  expect(run(["cba", "b"], ["cba"])).toEqual({ text: "c", stopped: true });
  expect(run(["c", "abc"], ["xabc"])).toEqual({ text: "x", stopped: true });
});

test("a beginning that repeats itself is not lost", () => {
  expect(run(["aab"], ["a", "a", "a", "b"])).toEqual({ text: "a", stopped: true });
});

test("cutting the text into pieces changes nothing", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
  const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
  fc.assert(fc.property(text, fc.array(stop, { maxLength: 3 }), (whole, stops) => {
    let wanted = { text: whole, stopped: false };
    for (let end = 1; end <= whole.length && !wanted.stopped; end++) {
      const seen = whole.slice(0, end);
      const longest = Math.max(0, ...stops.filter((s) => seen.endsWith(s)).map((s) => s.length));
      if (longest > 0) wanted = { text: whole.slice(0, end - longest), stopped: true };
    }
    expect(run(stops, [whole])).toEqual(wanted);
    expect(run(stops, [...whole])).toEqual(wanted);
  }));
});
