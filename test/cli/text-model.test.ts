/** Text in and out, on a reference checkpoint that has a tokenizer. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { arctic, temporaryFolder } from "./arctic.ts";

// Processes on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const checkpoint = fileURLToPath(new URL("../../../shared/cases/arctic-a/", import.meta.url));
const available = existsSync(checkpoint);
if (!available) {
  console.warn("skip: the reference checkpoint is not beside the checkout (../shared/cases)");
}

const BOS = 254;
const folder = temporaryFolder();
const model = join(folder.path, "model");
const generate = ["prompt", "--backend=cpu", "--model", model, "--max-tokens=24", "--seed=5"];

beforeAll(async () => {
  if (!available) return;
  const { code, stdout, stderr } = await arctic(["convert", checkpoint, model]);
  expect([code, stdout]).toEqual([0, ""]);
  expect(stderr).toContain("378 K parameters");
});
afterAll(folder.remove);

/** The document of `prompt --json`. */
async function answer(...args: string[]) {
  const { code, stdout } = await arctic([...generate, ...args, "--json"]);
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe.skipIf(!available)("a model with a tokenizer", () => {
  test("greedy tokens are the reference's", async () => {
    const golden = JSON.parse(readFileSync(join(checkpoint, "golden.json"), "utf8"));
    for (const { prompt, tokens } of golden.greedy) {
      const { tokens: got } = await answer(
        ...["--tokens", prompt.join(), "--temperature=0", `--max-tokens=${tokens.length}`],
      );
      expect(got).toEqual(tokens);
    }
  });

  test("what is streamed is the text of the document, and a newline", async () => {
    const document = await answer("--raw", "the cat");
    expect(document.text).not.toBe("");
    const { stdout } = await arctic([...generate, "--raw", "the cat"]);
    expect(stdout).toBe(`${document.text}\n`);
  });

  test("the chat template goes round the prompt unless --raw", async () => {
    const raw = await answer("--raw", "the cat");
    const chat = await answer("the cat");
    expect(chat.usage.prompt_tokens).toBeGreaterThan(raw.usage.prompt_tokens);
  });

  test("--raw begins with BOS, --tokens with what is given", async () => {
    const path = join(folder.path, "text.txt");
    writeFileSync(path, "the cat");
    const scored = await arctic(["score", "--backend=cpu", "--model", model, "--text-file", path]);
    const tokens = scored.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).token);
    expect(tokens[0]).toBe(BOS);
    const raw = await answer("--raw", "the cat");
    expect(raw.usage.prompt_tokens).toBe(tokens.length);
    const same = await answer("--tokens", tokens.join());
    expect(same.tokens).toEqual(raw.tokens);
    const without = await answer("--tokens", tokens.slice(1).join());
    expect(without.usage.prompt_tokens).toBe(tokens.length - 1);
  });

  test("standard input is the prompt, less one newline", async () => {
    const given = await answer("--raw", "the\ncat\n");
    for (const args of [[], ["-"]]) {
      const { stdout } = await arctic([...generate, "--raw", "--json", ...args], {
        stdin: "the\ncat\n\n",
      });
      expect(JSON.parse(stdout).tokens).toEqual(given.tokens);
    }
  });

  test("--stop ends before the text it names", async () => {
    const { text } = await answer("--raw", "the cat");
    const stop = text.slice(8, 11);
    const cut = await answer("--raw", "the cat", "--stop", "never", "--stop", stop);
    expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.finish_reason).toBe("stop");
  });

  test("a finished conversion is not replaced without --force", async () => {
    const again = await arctic(["convert", checkpoint, model]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("--force");
    expect((await arctic(["convert", checkpoint, model, "--force"])).code).toBe(0);
  });
});
