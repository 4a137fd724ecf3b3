import { expect, test } from "bun:test";
import fc from "fast-check";
import { TokenCounts } from "../../src/engine/penalties.ts";

const VOCABULARY = 8;
const token = fc.nat(VOCABULARY - 1);

test("the penalties are those of a recount of the last tokens", () => {
  const penalties = fc.record({
    repetition: fc.constantFrom(1, 0.5, 1.3),
    frequency: fc.constantFrom(0, 0.5, -0.5),
    presence: fc.constantFrom(0, 0.75, -0.75),
    lastTokens: fc.nat(12),
  });
  const logit = fc.constantFrom(-2, -0.5, 0, 0.5, 2, -Infinity);
  const row = fc.array(logit, { minLength: VOCABULARY, maxLength: VOCABULARY });
  fc.assert(
    fc.property(penalties, fc.array(token), fc.array(token), row, (p, prompt, output, logits) => {
      const counts = new TokenCounts(p, prompt);
      for (const id of output) counts.accept(id);
      const got = Float32Array.from(logits);
      counts.apply(got);

      const all = [
        ...prompt.map((id) => ({ id, said: false })),
        ...output.map((id) => ({ id, said: true })),
      ];
      const window = all.slice(Math.max(0, all.length - p.lastTokens));
      const want = logits.map((x, id) => {
        const seen = window.filter((entry) => entry.id === id);
        const said = seen.filter((entry) => entry.said).length;
        if (seen.length > 0) x = Math.fround(x > 0 ? x / p.repetition : x * p.repetition);
        return said > 0 ? x - p.frequency * said - p.presence : x;
      });
      for (const [id, x] of want.entries()) expect(got[id]).toBeCloseTo(x, 5);
    }),
  );
});

test("an endless output is counted in the room of its window", () => {
  const counts = new TokenCounts(
    { repetition: 1.1, frequency: 0, presence: 0, lastTokens: 64 },
    Array.from({ length: 1_000 }, (_, i) => i),
  );
  for (let i = 0; i < 100_000; i++) {
    counts.accept(i);
    if (counts.size !== 64) throw new Error(`${counts.size} tokens are counted`);
  }
});
