import { expect, test } from "bun:test";
import { servedTokens } from "../../src/cli/served-tokens.ts";
import { limits } from "../../src/limits.ts";
import { parseConfig } from "../../weights-manifest/validate-config.ts";
import { arctic480 } from "../weights-manifest/support.ts";

const config = parseConfig(arctic480);

test("a server keeps two contexts of Arctic, so that one without end leaves room", () => {
  expect(servedTokens({ config }, undefined)).toBe(2 * 4_096 + limits.chunkTokens);
});

test("a small model's keys and values fill what is set aside, up to what its requests can use", () => {
  const small = { ...config, layers: 2, kvHeads: 1 };
  expect(servedTokens({ config: small }, undefined)).toBe(limits.kvTokens);
  const short = { ...small, contextTokens: 64 };
  expect(servedTokens({ config: short }, undefined)).toBe(64 * limits.runningRequests);
});

test("a long context is kept twice, as far as a binding goes", () => {
  const long = { ...config, contextTokens: 32_768, layers: 2, kvHeads: 2 };
  expect(servedTokens({ config: long }, undefined)).toBe(2 * 32_768 + limits.chunkTokens);
  const wide = { ...long, kvHeads: 8 };
  expect(servedTokens({ config: wide }, undefined)).toBe(limits.bindingBytes / (4 * 8 * 128));
});

test("what is asked for is taken", () => {
  expect(servedTokens({ config }, 100)).toBe(100);
});
