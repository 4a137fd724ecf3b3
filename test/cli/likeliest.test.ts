import { expect, test } from "bun:test";
import fc from "fast-check";
import { likeliest } from "../../src/cli/likeliest.ts";

test("the k likeliest are the beginning of the whole order, lower ids first among equals", () => {
  const logprobs = fc.array(fc.constantFrom(-1, -2, -3.5, -9, -Infinity), { maxLength: 200 });
  fc.assert(fc.property(logprobs, fc.nat(200), (values, k) => {
    const order = values.map((_, id) => id)
      .sort((a, b) => (values[a] === values[b] ? a - b : (values[b] ?? 0) - (values[a] ?? 0)));
    expect([...likeliest(Float32Array.from(values), k)]).toEqual(order.slice(0, k));
  }));
});
