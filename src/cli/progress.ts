/** How far a long step has come: a bar on a terminal, a plain line now and then elsewhere. */

import { limits } from "../limits.ts";
import type { Messages } from "./messages.ts";
import { duration, quantity } from "./units.ts";

export interface ProgressOptions {
  /** What is being done, for example "Converting". */
  readonly label: string;
  /** What is counted: bytes are shown as kB, MB, GB. */
  readonly unit: "B" | "tokens" | "layers" | "questions";
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

export type ProgressMessages = Pick<Messages, "isTerminal" | "columns" | "line" | "status">;

/** Seconds over which the shown rate is averaged. */
const RATE_SECONDS = 3;

export class Progress {
  readonly #messages: ProgressMessages;
  readonly #label: string;
  readonly #unit: string;
  readonly #now: () => number;
  readonly #start: number;
  #first: number | undefined;
  #last: { done: number; time: number } | undefined;
  #rate = 0;
  #shown: number;

  constructor(messages: ProgressMessages, options: ProgressOptions) {
    this.#messages = messages;
    this.#label = options.label;
    this.#unit = options.unit;
    this.#now = options.now ?? (() => performance.now());
    this.#start = this.#now();
    this.#shown = this.#start;
  }

  /** @param total 0 when it is not known yet */
  update(done: number, total: number): void {
    const time = this.#now();
    this.#first ??= done;
    this.#measure(done, time);
    const pause = this.#messages.isTerminal ? limits.progressBarMs : limits.progressLineMs;
    if (time - this.#shown < pause) return;
    this.#shown = time;
    const text = this.#describe(done, total);
    if (this.#messages.isTerminal) this.#messages.status(this.#withBar(text, done, total));
    else this.#messages.line(text);
  }

  /** Removes the bar; on a terminal nothing stays behind. */
  end(): void {
    this.#messages.status("");
  }

  /** Exponential average, weighted by time: the first interval counts whole. */
  #measure(done: number, time: number): void {
    const last = this.#last;
    if (last === undefined) {
      this.#last = { done, time };
      return;
    }
    const seconds = (time - last.time) / 1000;
    if (seconds < 0.05) return;
    const current = (done - last.done) / seconds;
    const weight = this.#rate === 0 ? 1 : 1 - Math.exp(-seconds / RATE_SECONDS);
    this.#rate += weight * (current - this.#rate);
    this.#last = { done, time };
  }

  #describe(done: number, total: number): string {
    const percent = total > 0 ? `${Math.floor(100 * Math.min(1, done / total))} % ` : "";
    const of = total > 0 ? ` of ${quantity(total, this.#unit)}` : "";
    const rate = this.#rate > 0 ? `, ${quantity(this.#rate, this.#unit)}/s` : "";
    const left = this.#rate > 0 && total > done
      ? `, ${duration((total - done) / this.#rate)} left`
      : "";
    // "3 of 8 layers", but "3.00 kB of 8.00 MB".
    const so = total > 0 && this.#unit !== "B" ? `${done}` : quantity(done, this.#unit);
    return `${this.#label}: ${percent}(${so}${of})${rate}${left}`;
  }

  #withBar(text: string, done: number, total: number): string {
    const width = Math.min(30, this.#messages.columns - text.length - 5);
    if (width < 8 || total <= 0) return text;
    const filled = Math.round(width * Math.min(1, done / total));
    return `[${"#".repeat(filled)}${"-".repeat(width - filled)}] ${text}`;
  }
}
