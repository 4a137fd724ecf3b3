import { expect, test } from "bun:test";
import { askedWindow, checkWindow, widestWindow } from "../../src/cli/window.ts";

test("nothing asked for is full attention", () => {
  expect(askedWindow({ sinks: undefined, window: undefined }, 4096)).toBeUndefined();
});

test("sinks, window and the new token fill the context where one of the two is not given", () => {
  expect(askedWindow({ sinks: 8, window: undefined }, 4096)).toEqual({ sinks: 8, window: 4087 });
  expect(askedWindow({ sinks: undefined, window: 60 }, 4096)).toEqual({ sinks: 4, window: 60 });
  expect(askedWindow({ sinks: undefined, window: 62 }, 64)).toEqual({ sinks: 1, window: 62 });
  expect(widestWindow(4096)).toEqual({ sinks: 4, window: 4091 });
});

test("what was given is taken as it is", () => {
  expect(askedWindow({ sinks: 4, window: 60 }, 4096)).toEqual({ sinks: 4, window: 60 });
});

test("a server's window fits the model, the new token beside it", () => {
  expect(() => checkWindow({ sinks: undefined, window: undefined }, 64)).not.toThrow();
  expect(() => checkWindow({ sinks: 3, window: 60 }, 64)).not.toThrow();
  expect(() => checkWindow({ sinks: undefined, window: 63 }, 64)).not.toThrow();
  expect(() => checkWindow({ sinks: 62, window: undefined }, 64)).not.toThrow();
  expect(() => checkWindow({ sinks: 4, window: 60 }, 64))
    .toThrow(/^--sinks 4 and --window 60 do not fit the model: .* at most 63 tokens/);
  expect(() => checkWindow({ sinks: undefined, window: 64 }, 64)).toThrow("--window 64 does not");
  expect(() => checkWindow({ sinks: 63, window: undefined }, 64)).toThrow("--sinks 63 does not");
});
