/**
 * The other side of an endless conversation, in a process of its own: it asks, and reads what is
 * answered. What this leaves to its collector is not measured with the engine.
 *
 * As a program it speaks lines of JSON: `Said` on standard input, `Told` on standard output.
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { assert } from "../../src/assert.ts";
import { demoSchema } from "../../src/sql/demo-schema.ts";
import { Conversation, type Turns } from "./endless-conversation.ts";
import { demoTurns } from "./endless-questions.ts";

/** What the conversation goes on with; that a question was asked; that the counts are wanted. */
type Said = { readonly text: string } | "asked" | "count";
type Told = { readonly question: string } | Count;

/** What was counted since the last time, and some of the latest messages. */
export interface Count {
  readonly turns: Turns;
  readonly recent: readonly string[];
}

/** Questions that wait here, so that none is waited for. */
const AHEAD = 64;
/** Characters that are sent at once. */
const TEXT = 2_048;

export class Partner {
  readonly #process: ReturnType<typeof start>;
  readonly #questions: string[] = [];
  readonly #counts: PromiseWithResolvers<Count>[] = [];
  #text = "";

  private constructor(seed: string) {
    this.#process = start(seed);
  }

  /** @param seed of the questions */
  static async open(seed: string): Promise<Partner> {
    const partner = new Partner(seed);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    partner.#listen(resolve).then(() => {
      const error = new Error("The other side of the conversation has ended.");
      for (const count of partner.#counts) count.reject(error);
      reject(error);
    });
    await promise;
    return partner;
  }

  /** The next question; its SQL is what the next answer is compared with. */
  ask(): string {
    const question = this.#questions.shift();
    assert(question !== undefined, "the partner's questions do not come as fast as they are asked");
    this.#say("asked");
    return question;
  }

  hear(text: string): void {
    this.#text += text;
    if (this.#text.length >= TEXT) this.#tellText();
  }

  count(): Promise<Count> {
    this.#tellText();
    this.#say("count");
    const count = Promise.withResolvers<Count>();
    this.#counts.push(count);
    return count.promise;
  }

  close(): void {
    this.#process.kill();
  }

  #tellText(): void {
    if (this.#text !== "") this.#say({ text: this.#text });
    this.#text = "";
  }

  #say(said: Said): void {
    this.#process.stdin.write(`${JSON.stringify(said)}\n`);
    this.#process.stdin.flush();
  }

  async #listen(ready: () => void): Promise<void> {
    let rest = "";
    for await (const bytes of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + bytes).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const told = JSON.parse(line) as Told;
        if ("question" in told) this.#questions.push(told.question);
        else this.#counts.shift()?.resolve(told);
      }
      if (this.#questions.length === AHEAD) ready();
    }
  }
}

function start(seed: string) {
  const program = fileURLToPath(import.meta.url);
  return Bun.spawn([process.execPath, program, seed], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
}

function tell(told: Told): void {
  process.stdout.write(`${JSON.stringify(told)}\n`);
}

function run(seed: string): void {
  const turns = demoTurns(seed);
  const references: string[] = [];
  const conversation = new Conversation(demoSchema, references);
  const prepared: string[] = [];
  const prepare = () => {
    const { question, sql } = turns.next().value;
    prepared.push(sql);
    tell({ question });
  };
  const asked = () => {
    references.push(prepared.shift() ?? "");
    prepare();
  };
  for (let i = 0; i < AHEAD; i++) prepare();
  createInterface({ input: process.stdin }).on("line", (line) => {
    const said = JSON.parse(line) as Said;
    if (said === "asked") asked();
    else if (said === "count") tell({ turns: conversation.take(), recent: conversation.recent });
    else conversation.push(said.text);
  });
}

if (import.meta.main) run(process.argv[2] ?? "");
