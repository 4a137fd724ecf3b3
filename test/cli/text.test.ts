/** How numbers, progress and foreign text look. */

import { describe, expect, test } from "bun:test";
import { Writable } from "node:stream";
import type { WriteStream } from "node:tty";
import { errorText } from "../../src/cli/error-text.ts";
import { escapeControls } from "../../src/cli/escape.ts";
import { Messages } from "../../src/cli/messages.ts";
import { nearest } from "../../src/cli/nearest.ts";
import { Progress } from "../../src/cli/progress.ts";
import { bytes, count, duration, perSecond } from "../../src/cli/units.ts";
import { ArcticError } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";

/** Standard error that is a terminal or a file, and what was written to it. */
function screen(isTTY: boolean, env: Record<string, string> = {}) {
  let written = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk);
      done();
    },
  });
  const messages = new Messages(
    Object.assign(stream, { isTTY, columns: 80 }) as unknown as WriteStream,
    env,
  );
  const text = () => {
    const all = written;
    written = "";
    return all;
  };
  return { messages, text };
}

describe("escaping", () => {
  test("controls, escape sequences and reordering marks are written out", () => {
    expect(escapeControls("a\x1b[31mb\r\nc\x00\x9b")).toBe("a\\x1b[31mb\\x0d\\x0ac\\x00\\x9b");
    expect(escapeControls("\u202eevil\u2069\u2028")).toBe("\\u{202e}evil\\u{2069}\\u{2028}");
  });

  test("other text is left alone, and so are the characters asked for", () => {
    expect(escapeControls("Zürich 数 🙂")).toBe("Zürich 数 🙂");
    expect(escapeControls("a\n\tb\r", "\n\t")).toBe("a\n\tb\\x0d");
  });

  test("an error is one line whatever its path holds", () => {
    const { messages, text } = screen(false);
    messages.error("The folder x\x1b]0;title\x07\nrm is missing.");
    expect(text()).toBe("arctic: The folder x\\x1b]0;title\\x07\\x0arm is missing.\n");
  });
});

describe("error texts", () => {
  test("a bug says that it is one; a typed error speaks for itself", () => {
    expect(errorText(new ArcticError("disk_full", "The disk is full."))).toBe("The disk is full.");
    expect(errorText(new TypeError("x is undefined"))).toStartWith(
      "Internal error in arctic: x is undefined. Please report it",
    );
    const system = Object.assign(new Error("EIO: i/o error"), { errno: -5, code: "EIO" });
    expect(errorText(system)).toBe("The system reports: EIO: i/o error.");
  });
});

describe("colour", () => {
  test("only on a terminal, and not with NO_COLOR or TERM=dumb", () => {
    const painted = (isTTY: boolean, env: Record<string, string>) => {
      const { messages, text } = screen(isTTY, env);
      messages.error("x");
      return text().includes("\x1b[31m");
    };
    expect(painted(true, {})).toBe(true);
    expect(painted(true, { NO_COLOR: "" })).toBe(true);
    expect(painted(true, { NO_COLOR: "1" })).toBe(false);
    expect(painted(true, { TERM: "dumb" })).toBe(false);
    expect(painted(false, {})).toBe(false);
  });
});

describe("progress", () => {
  test("on a terminal: a bar with rate and time left, and the cursor comes back", () => {
    const { messages, text } = screen(true);
    let time = 0;
    const progress = new Progress(messages, { label: "Converting", unit: "B", now: () => time });
    for (let step = 0; step <= 4; step++) {
      time = step * 1000;
      progress.update(step * 100e6, 1000e6);
    }
    const shown = text();
    expect(shown.startsWith("\x1b[?25l")).toBe(true);
    expect(shown).toMatch(/\[#+-+\] Converting: 40 % \(400 MB of 1\.00 GB\), 100 MB\/s, 6 s left$/);
    progress.end();
    expect(text()).toBe("\r\x1b[2K\x1b[?25h");
  });

  test("elsewhere: a plain line now and then, without control characters", () => {
    const { messages, text } = screen(false);
    let time = 0;
    const progress = new Progress(messages, { label: "Reading", unit: "tokens", now: () => time });
    for (; time <= 3 * limits.progressLineMs; time += 100) progress.update(time / 100, 1000);
    progress.end();
    const lines = text().trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^Reading: 5 % \(50 of 1000 tokens\), 10(\.\d)? tokens\/s, /);
  });

  test("work done before counts as done, not as speed", () => {
    const { messages, text } = screen(true);
    let time = 0;
    const progress = new Progress(messages, { label: "Converting", unit: "B", now: () => time });
    progress.update(900e6, 1000e6);
    time = 1000;
    progress.update(910e6, 1000e6);
    expect(text()).toContain("91 % (910 MB of 1.00 GB), 10.0 MB/s, 9 s left");
  });

  test("a message does not run into the bar", () => {
    const { messages, text } = screen(true);
    messages.status("[##--]");
    text();
    messages.line("note");
    expect(text()).toBe("\r\x1b[2K\x1b[?25hnote\n\x1b[?25l\r\x1b[2K[##--]");
  });
});

describe("units", () => {
  test("bytes, parameters, time, rates", () => {
    expect([0, 999, 1000, 999_499, 999_500, 17.5e9, 2e15].map(bytes)).toEqual(
      ["0 B", "999 B", "1.00 kB", "999 kB", "1.00 MB", "17.5 GB", "2.00e+3 TB"],
    );
    expect([12, 2_330_000, 478_584_608_768].map(count)).toEqual(["12", "2.33 M", "479 B"]);
    expect([0.4, 59.4, 125, 3725].map(duration)).toEqual(["0 s", "59 s", "2:05 min", "1:02 h"]);
    expect([0.918, 12.34, 457.2].map(perSecond)).toEqual([
      "0.918 tok/s",
      "12.3 tok/s",
      "457 tok/s",
    ]);
  });
});

describe("nearest name", () => {
  test.each([
    ["--modle", "--model"],
    ["--temp", "--temperature"],
    ["--max_tokens", "--max-tokens"],
    ["--tpo-k", "--top-k"],
  ])("%s: %s", (typed, meant) => {
    const candidates = ["--model", "--temperature", "--max-tokens", "--top-k", "--min-p", "--json"];
    expect(nearest(typed, candidates)).toBe(meant);
  });

  test("none when nothing is near", () => {
    expect(nearest("--quantize", ["--model", "--json"])).toBeUndefined();
    expect(nearest("", ["a-long-name"])).toBeUndefined();
  });
});
