/** Standard error: what people should know while a command runs. Programs read standard output. */

import type { WriteStream } from "node:tty";
import { escapeControls } from "./escape.ts";

const RED = "\x1b[31m";
const YELLOW = "\x1b[33m";
const RESET = "\x1b[0m";
const SHOW_CURSOR = "\x1b[?25h";
const HIDE_CURSOR = "\x1b[?25l";
const CLEAR_LINE = "\r\x1b[2K";

export class Messages {
  readonly #stream: WriteStream;
  readonly isTerminal: boolean;
  readonly #colour: boolean;
  #status = "";
  #unwritten = 0;
  #onFlushed = () => {};

  /** @param env NO_COLOR (no-color.org) and TERM=dumb turn colour off */
  constructor(stream: WriteStream, env: Readonly<Record<string, string | undefined>>) {
    this.#stream = stream;
    // There is nowhere left to tell that standard error is gone.
    stream.on("error", () => {});
    this.isTerminal = stream.isTTY === true && env["TERM"] !== "dumb";
    this.#colour = this.isTerminal && (env["NO_COLOR"] ?? "") === "";
  }

  get columns(): number {
    return this.#stream.columns ?? 80;
  }

  /** A plain line. */
  line(text: string): void {
    this.#print(escapeControls(text, "\t"));
  }

  warning(text: string): void {
    this.#print(`${this.#paint(YELLOW, "warning:")} ${escapeControls(text)}`);
  }

  /** The one sentence that says why a command failed. */
  error(text: string): void {
    this.#print(`${this.#paint(RED, "arctic:")} ${escapeControls(text)}`);
  }

  /** Replaces the status line at the bottom of a terminal; the empty text removes it. */
  status(text: string): void {
    if (!this.isTerminal || text === this.#status) return;
    const cursor = this.#status === "" ? HIDE_CURSOR : "";
    const shown = escapeControls(text).slice(0, Math.max(0, this.columns - 1));
    this.#write(cursor + CLEAR_LINE + (shown === "" ? SHOW_CURSOR : shown));
    this.#status = shown;
  }

  /** Resolves when everything has left the process: what is on its way to a pipe dies with it. */
  flushed(): Promise<void> {
    if (this.#unwritten === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onFlushed = resolve);
  }

  #write(text: string): void {
    this.#unwritten++;
    this.#stream.write(text, () => {
      if (--this.#unwritten === 0) this.#onFlushed();
    });
  }

  #print(line: string): void {
    const status = this.#status;
    this.status("");
    this.#write(`${line}\n`);
    if (status !== "") this.status(status);
  }

  #paint(colour: string, text: string): string {
    return this.#colour ? colour + text + RESET : text;
  }
}
