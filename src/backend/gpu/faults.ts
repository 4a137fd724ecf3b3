/**
 * What went wrong on the device, kept until somebody awaits something.
 *
 * Dawn reports validation and out-of-memory errors by a callback while the failing call still runs,
 * and device loss by a callback when the instance is polled. Neither reaches the caller by itself.
 */

import { ArcticError } from "../../errors.ts";

export class Faults {
  #kept: ArcticError | null = null;
  #captured: ArcticError[] | null = null;
  readonly #waiting = new Set<(error: ArcticError) => void>();

  /**
   * Hands a fault to the call that caused it, else to everyone who waits, else keeps it for the next
   * `check`. Of several only the first is kept: later ones mostly follow from it. A lost device stays.
   */
  report(error: ArcticError): void {
    const lost = error.code === "device_lost";
    if (this.#captured !== null && !lost) {
      this.#captured.push(error);
      return;
    }
    if (lost || (this.#waiting.size === 0 && this.#kept === null)) this.#kept = error;
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  /** What `work` returns; a fault that the device reports while it runs is thrown instead. */
  capture<T>(work: () => T): T {
    this.check();
    this.#captured = [];
    try {
      const result = work();
      const [first] = this.#captured;
      if (first !== undefined) throw first;
      return result;
    } finally {
      this.#captured = null;
    }
  }

  /** Throws the fault that was kept, once; that of a lost device again and again. */
  check(): void {
    const error = this.#kept;
    if (error === null) return;
    if (error.code !== "device_lost") this.#kept = null;
    throw error;
  }

  /** `work`, or a rejection as soon as the device reports a fault. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      work.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}

/** The ArcticError for a device that is gone. */
export function lostError(reason: string, message: string): ArcticError {
  return new ArcticError(
    "device_lost",
    `The graphics device was lost (${reason}): ${
      message.trim() || "the driver gives no reason"
    }. ` +
      "Restart arctic; if it happens again, update the graphics driver or use --backend cpu.",
    { exit: 70 },
  );
}

/** The ArcticError for an error that Dawn reported, told apart by the error's class name. */
export function reportedError(kind: string, message: string): ArcticError {
  if (kind === "GPUOutOfMemoryError") {
    return new ArcticError(
      "device_out_of_memory",
      `The graphics device is out of memory: ${message.trim()}. ` +
        "Use a smaller context, a device with more memory, or --backend cpu.",
    );
  }
  return new ArcticError(
    kind === "GPUInternalError" ? "device_internal" : "device_validation",
    `The graphics device refused a command: ${message.trim()}. ` +
      "This is a bug in arctic or the driver: please report it; --backend cpu goes round it.",
  );
}
