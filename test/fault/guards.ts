/** Guards of the product, and the tests in this folder that are there because of them. */

export interface Guard {
  readonly name: string;
  /** From the root of the checkout. */
  readonly file: string;
  readonly text: string;
  /** What takes its place where it is removed. */
  readonly without: string;
  readonly test: string;
  /** A part of the name of what then has to fail. */
  readonly fails: string;
}

const EVERY_OP = "test/fault/every-op.test.ts";

export const guards: readonly Guard[] = [
  {
    name: "logits are looked at for what is no number",
    file: "src/engine/logprobs.ts",
    text: "if (nan >= 0) throw",
    without: "if (nan < -1) throw",
    test: EVERY_OP,
    fails: "logits that are no numbers",
  },
  {
    name: "a request that ends gives its pages back",
    file: "src/engine/scheduler.ts",
    text: "job.sequence.release();\n      this.#assertAccounted();",
    without: "",
    test: EVERY_OP,
    fails: "whichever operation fails",
  },
  {
    name: "a step that fails ends its own requests alone",
    file: "src/engine/engine.ts",
    text: "else for (const { job } of step) this.#fail(job, error);",
    without: "else throw error;",
    test: EVERY_OP,
    fails: "whichever operation fails",
  },
  {
    name: "nothing runs on a device that was lost",
    file: "src/engine/engine.ts",
    text: 'if (errorCode(error) === "device_lost") this.#breakDown(error);\n      else for',
    without: "for",
    test: EVERY_OP,
    fails: "whichever operation loses the device",
  },
];
