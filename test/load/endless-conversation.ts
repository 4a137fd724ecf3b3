/** A conversation about one schema as a stream of text: is it one, and does its SQL compile? */

import { Database } from "bun:sqlite";
import { compileQuery } from "../../src/sql/database.ts";
import { createStatements, type Schema } from "../../src/sql/schema.ts";
import { seededRandom } from "../../src/sql/random.ts";
import { smallTalk } from "../../src/sql/small-talk.ts";

export const END = "<|im_end|>";
const START = "<|im_start|>";
/** Characters of one message: whatever is longer is no message. */
const LONGEST = 4_096;

export interface Turns {
  /** Messages in all, and those that do not begin with the marker of the role whose turn it is. */
  readonly messages: number;
  readonly outOfTurn: number;
  readonly answers: number;
  /** Answers that SQLite compiles against the schema. */
  readonly compiled: number;
  /** Answers that are one of the sentences for questions that ask for no data. */
  readonly replies: number;
  /** Answers that are the reference, letter for letter; where there are references. */
  readonly exact: number;
  /** Different questions, and different answers. */
  readonly questions: number;
  readonly distinctAnswers: number;
}

export class Conversation {
  readonly #database = new Database(":memory:");
  readonly #replies: ReadonlySet<string>;
  readonly #references: string[];
  /** The message so far; the first is an answer whose marker stood in the prompt. */
  #text = `\n${START}assistant\n`;
  #turn: "assistant" | "user" = "assistant";
  #overlong = false;
  #counts = { messages: 0, outOfTurn: 0, answers: 0, compiled: 0, replies: 0, exact: 0 };
  readonly #questions = new Set<string>();
  readonly #answers = new Set<string>();
  /** Some of the latest messages, to look at. */
  readonly recent: string[] = [];

  /** @param references the SQL for each question in turn; taken away as answers come */
  constructor(schema: Schema, references: string[] = []) {
    this.#references = references;
    this.#database.exec(createStatements(schema));
    const random = seededRandom("replies");
    this.#replies = new Set(
      Array.from({ length: 500 }, () => smallTalk(random, "seen").answer),
    );
  }

  /** @param piece text with its markers spelled out; a marker never lies in two pieces */
  push(piece: string): void {
    for (let rest = piece; rest !== "";) {
      const end = rest.indexOf(END);
      this.#append(end < 0 ? rest : rest.slice(0, end));
      if (end < 0) return;
      this.#message(this.#text);
      this.#text = "";
      this.#overlong = false;
      rest = rest.slice(end + END.length);
    }
  }

  /** What has been counted since the last call. */
  take(): Turns {
    const turns = {
      ...this.#counts,
      questions: this.#questions.size,
      distinctAnswers: this.#answers.size,
    };
    this.#counts = { messages: 0, outOfTurn: 0, answers: 0, compiled: 0, replies: 0, exact: 0 };
    this.#questions.clear();
    this.#answers.clear();
    return turns;
  }

  #append(text: string): void {
    if (this.#text.length + text.length > LONGEST) this.#overlong = true;
    if (!this.#overlong) this.#text += text;
  }

  #message(text: string): void {
    this.#counts.messages += 1;
    this.recent.push(text.slice(0, 200));
    if (this.recent.length > 40) this.recent.shift();
    const [, role, content = ""] = /^\n<\|im_start\|>(user|assistant)\n([^]*)$/.exec(text) ?? [];
    const isMessage = role !== undefined && !content.includes(START) && !this.#overlong;
    const reference = this.#turn === "assistant" ? this.#references.shift() : undefined;
    if (!isMessage || role !== this.#turn) this.#counts.outOfTurn += 1;
    this.#turn = role === "user" ? "assistant" : "user";
    if (!isMessage) return;
    if (role === "user") {
      this.#questions.add(content);
      return;
    }
    this.#answers.add(content);
    if (content === reference) this.#counts.exact += 1;
    this.#counts.answers += 1;
    if (this.#replies.has(content)) this.#counts.replies += 1;
    else if (compileQuery(this.#database, content).ok) this.#counts.compiled += 1;
  }
}
