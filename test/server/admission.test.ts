import { expect, test } from "bun:test";
import fc from "fast-check";
import { Admission, type Ticket } from "../../src/server/admission.ts";
import { ApiError } from "../../src/server/errors.ts";

function refusal(work: () => unknown): ApiError {
  try {
    work();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("the last place is given, and the one after it is not", () => {
  const admission = new Admission({ maxChoices: 4, maxChoicesPerKey: 3 });
  admission.admit("a", 3);
  expect(refusal(() => admission.admit("a", 1))).toMatchObject({ status: 429, code: "queue_full" });
  admission.admit("b", 1);
  const full = refusal(() => admission.admit("c", 1));
  expect(full).toMatchObject({ status: 429, code: "queue_full", type: "rate_limit_error" });
  expect(Number(full.headers["retry-after"])).toBeGreaterThan(0);
  expect(admission.choices).toBe(4);
});

test("a ticket releases its places once", () => {
  const admission = new Admission({ maxChoices: 4, maxChoicesPerKey: 4 });
  const ticket = admission.admit("a", 2);
  admission.admit("a", 1);
  ticket.release();
  ticket.release();
  expect(admission.choices).toBe(1);
});

test("what is refused takes no place", () => {
  const admission = new Admission({ maxChoices: 4, maxChoicesPerKey: 2 });
  refusal(() => admission.admit("a", 3));
  refusal(() => admission.admit("a", 5));
  expect(admission.choices).toBe(0);
});

test("while draining nobody is admitted, and the end of the last is told", async () => {
  const admission = new Admission({ maxChoices: 4, maxChoicesPerKey: 4 });
  const ticket = admission.admit("a", 1);
  admission.drain();
  expect(refusal(() => admission.admit("a", 1))).toMatchObject({ status: 503, code: "not_ready" });
  let isEmpty = false;
  const empty = admission.empty().then(() => isEmpty = true);
  await Promise.resolve();
  expect(isEmpty).toBe(false);
  ticket.release();
  await empty;
  expect(isEmpty).toBe(true);
});

test("places that wait for nobody are given up where that makes room, and at the end", () => {
  const admission = new Admission({ maxChoices: 6, maxChoicesPerKey: 4 });
  const held = [["a", 1], ["b", 3]].map(([key, choices]) => ({
    key: String(key),
    choices: Number(choices),
    ticket: admission.admit(String(key), Number(choices)),
  }));
  const of = (key?: string) => held.filter((place) => key === undefined || place.key === key);
  let hasEnded = false;
  admission.reclaimFrom({
    places: (key) => of(key).reduce((sum, { choices }) => sum + choices, 0),
    giveUp: (key) => {
      const [first] = of(key);
      if (!first) return false;
      held.splice(held.indexOf(first), 1);
      first.ticket.release();
      return true;
    },
    end: () => hasEnded = true,
  });
  admission.admit("c", 2);
  expect([held.length, admission.choices]).toEqual([2, 6]);
  admission.admit("a", 1);
  expect([held.map(({ key }) => key), admission.choices]).toEqual([["b"], 6]);
  for (const [key, choices] of [["c", 3], ["d", 4]] as const) {
    expect(refusal(() => admission.admit(key, choices)).status).toBe(429);
    expect(held.length).toBe(1);
  }
  admission.admit("b", 2);
  expect([held.length, admission.choices]).toEqual([0, 5]);
  expect(hasEnded).toBe(false);
  admission.drain();
  expect(hasEnded).toBe(true);
});

test("a stop says why, in words for clients", () => {
  const admission = new Admission({ maxChoices: 4, maxChoicesPerKey: 4 });
  expect(admission.stopped.aborted).toBe(false);
  admission.stop();
  expect(admission.stopped.reason).toMatchObject({ status: 503, code: "not_ready" });
  expect(admission.isDraining).toBe(true);
});

test("counts stay true under any order of admissions and releases", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 4 }), fc.nat(9));
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const admission = new Admission({ maxChoices: 10, maxChoicesPerKey: 6 });
    const held: { ticket: Ticket; key: string; choices: number }[] = [];
    for (const [key, choices, drop] of steps) {
      try {
        held.push({ ticket: admission.admit(key, choices), key, choices });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
      if (drop < held.length) held.splice(drop, 1)[0]?.ticket.release();
      const sum = (of: typeof held) => of.reduce((total, { choices }) => total + choices, 0);
      expect(admission.choices).toBe(sum(held));
      expect(admission.choices).toBeLessThanOrEqual(10);
      expect(sum(held.filter((ticket) => ticket.key === key))).toBeLessThanOrEqual(6);
    }
  }));
});
