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
    if (matched.stopped) return { text, stopped: true };
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

test("the earliest of several stop strings counts", () => {
  expect(run(["d", "bc"], ["abcd"])).toEqual({ text: "a", stopped: true });
});

test("a beginning that repeats itself is not lost", () => {
  expect(run(["aab"], ["a", "a", "a", "b"])).toEqual({ text: "a", stopped: true });
});

test("cutting the text into pieces changes nothing", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
  const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
  fc.assert(fc.property(text, fc.array(stop, { maxLength: 3 }), (whole, stops) => {
    const ends = stops.map((s) => whole.indexOf(s)).filter((at) => at >= 0);
    const wanted = ends.length > 0
      ? { text: whole.slice(0, Math.min(...ends)), stopped: true }
      : { text: whole, stopped: false };
    expect(run(stops, [...whole])).toEqual(wanted);
  }));
});
