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
