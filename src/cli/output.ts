/** Standard output carries what was asked for, and nothing else. */

import type { WriteStream } from "node:tty";
import { ArcticError } from "../errors.ts";
import { escapeControls } from "./escape.ts";

/** The reader of standard output is gone, as in `arctic … | head -1`. No failure: nothing is left to do. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

export class Output {
  readonly #stream: WriteStream;
  readonly #signal: AbortSignal;
  readonly #waiting = new Set<() => void>();
  #failure: Error | undefined;

  /**
   * @param signal once aborted, no write waits for a reader that may never come
   * @param isClosed there is nothing behind `stream`: no write succeeds
   */
  constructor(stream: WriteStream, signal: AbortSignal, isClosed = false) {
    this.#stream = stream;
    this.#signal = signal;
    if (isClosed) this.#failure = noOutput();
    signal.addEventListener("abort", () => {
      for (const resolve of this.#waiting) resolve();
    }, { once: true });
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.#failure ??= failureOf(error);
    });
  }

  /**
   * Resolves when the text has left the process, so whoever produces it waits for a slow reader.
   * @throws OutputClosed when the reader is gone; ArcticError `disk_output` when it cannot be written
   */
  write(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.add(resolve);
      this.#stream.write(text, (error) => {
        this.#waiting.delete(resolve);
        if (!error) return resolve();
        this.#failure ??= failureOf(error);
        reject(this.#failure);
      });
      if (this.#signal.aborted) resolve();
    });
  }

  /** Text that a model made up: on a terminal its control characters are written out. */
  writeGenerated(text: string): Promise<void> {
    return this.write(this.#stream.isTTY ? escapeControls(text, "\n\t") : text);
  }

  /** One line of JSON. */
  json(value: unknown): Promise<void> {
    return this.write(`${JSON.stringify(value)}\n`);
  }
}

function noOutput(): ArcticError {
  return new ArcticError(
    "disk_output",
    "Standard output is closed: there is nowhere to write to. Direct it to a file, or to /dev/null.",
  );
}

function failureOf(error: NodeJS.ErrnoException): Error {
  if (error.code === "EPIPE" || error.code === "ECONNRESET") return new OutputClosed();
  return new ArcticError(
    "disk_output",
    `Standard output cannot be written: ${error.message}. Check the disk or the program that reads it.`,
    { cause: error },
  );
}
