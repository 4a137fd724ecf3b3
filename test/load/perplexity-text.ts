/** Conversations as the embedded model was trained on them: a schema, questions, and their SQL. */

import { demoSchema } from "../../src/sql/demo-schema.ts";
import type { Question } from "../../src/sql/phrase.ts";
import { sqlMessages } from "../../src/sql/prompt.ts";
import type { Schema } from "../../src/sql/schema.ts";
import type { ChatMessage } from "../../src/tokenizer/chat-template.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { demoTurns, generatedCase } from "./endless-questions.ts";

/** Tokens of a question, its answer and their markers, at the least. */
const SHORTEST = 16;

export interface Text {
  readonly tokens: readonly number[];
  /** Tokens of the schema and its markers. */
  readonly schema: number;
  /** Whether a token belongs to an answer, its end included. */
  readonly inAnswer: readonly boolean[];
}

/** What is talked about, and questions without end. */
export interface Topic {
  readonly schema: Schema;
  readonly turns: Iterator<Pick<Question, "question" | "sql">>;
}

/**
 * @param schema the demo shop, or a schema whose names are "seen" or "unseen" in training
 * @param tokens of all conversations that will be made about it
 */
export function topic(schema: string, seed: string, tokens: number): Topic {
  if (schema === "demo") return { schema: demoSchema, turns: demoTurns(seed) };
  const made = generatedCase(
    seed,
    schema === "unseen" ? "unseen" : "seen",
    Math.ceil(2 * tokens / SHORTEST),
  );
  return { schema: made.schema, turns: made.questions.values() };
}

/** The next turns of a conversation, cut off after `count` tokens. */
export function conversation(tokenizer: Tokenizer, { schema, turns }: Topic, count: number): Text {
  const [system] = sqlMessages("", schema);
  const messages: ChatMessage[] = [system!];
  for (let i = 0; i < count / SHORTEST; i++) {
    const { question, sql } = turns.next().value as Pick<Question, "question" | "sql">;
    messages.push({ role: "user", content: question }, { role: "assistant", content: sql });
  }
  const tokens = tokenizer.encodeChat(messages).slice(0, count);
  const end = tokenizer.eosToken ?? -1;
  // An answer lies between its marker (start, role, line break) and the end marker.
  const marker = tokenizer.encodeChat([]).slice(-3);
  let isOpen = false;
  const inAnswer = tokens.map((token, i) => {
    const was = isOpen;
    if (token === end) isOpen = false;
    else if (marker.every((each, j) => tokens[i - 2 + j] === each)) isOpen = true;
    return was;
  });
  return { tokens, schema: tokens.indexOf(end) + 2, inAnswer };
}
