/** Output past the end of the context, on the command line: what is taken, what refused, how it ends. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { summary } from "../../src/cli/prompt-usage.ts";
import { synth } from "../../weights-manifest/synth.ts";
import { arctic, temporaryFolder, tinyConfig } from "./arctic.ts";

// Processes on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const folder = temporaryFolder();
const model = join(folder.path, "model");
const prompt = ["prompt", "--backend=cpu", "--model", model];
/** More than the context. */
const long = ["--tokens", Array.from({ length: 100 }, (_, i) => i).join(",")];

beforeAll(async () => {
  await synth({ ...tinyConfig, max_position_embeddings: 64 }, model, { seed: 3 });
});
afterAll(folder.remove);

test("--unbounded takes a prompt longer than the context", async () => {
  const drawn = ["--unbounded", "--temperature=1", "--seed=4"];
  const { code, stdout, stderr } = await arctic([...prompt, ...long, ...drawn]);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/^prompt 100 tokens, /)]);
  expect(stdout).toMatch(/^\d+( \d+)+\n$/);
});

test("without it such a prompt is refused, and the way out is named", async () => {
  const { code, stderr } = await arctic([...prompt, ...long, "--max-tokens=5"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^arctic: The prompt has 100 tokens, .* context of 64 tokens .*`--window W`/,
  );
  const taken = await arctic([...prompt, ...long, "--max-tokens=5", "--window=40"]);
  expect([taken.code, taken.stdout.split(" ").length]).toEqual([0, 5]);
});

test("no document of an output that may have no end", async () => {
  const { code, stdout, stderr } = await arctic([...prompt, ...long, "--json", "--max-tokens=-1"]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("--json prints its document at the end");
});

test("standard error tells that the output repeated itself", async () => {
  // It sees two tokens, and so soon comes to where it was before.
  const narrow = ["--tokens=160", "--sinks=0", "--window=1", "--unbounded", "--temperature=0"];
  const { code, stderr } = await arctic([...prompt, ...narrow, "--stop-on-loop"]);
  expect(code).toBe(0);
  expect(stderr).toMatch(
    /; generated \d+ tokens, .* tok\/s, ended because they repeat themselves\n$/,
  );
  const timings = { queueMs: 0, prefillMs: 1, decodeMs: 1 };
  const end = {
    usage: { promptTokens: 1, completionTokens: 1, cachedTokens: 0 },
    timings: { ...timings, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 },
  };
  expect(summary({ ...end, finishReason: "length" }, undefined)).not.toContain("repeat");
});

test("a server whose window does not fit the model does not start", async () => {
  const serve = ["serve", "--port=0", "--backend=cpu", "--model", model, "--log-level=silent"];
  // Room for all requests together is no room for one of them.
  const { code, stderr } = await arctic([...serve, "--sinks=4", "--window=60", "--context=4096"]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^arctic: --sinks 4 and --window 60 do not fit .*\n$/m);
});
