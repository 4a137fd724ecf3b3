/** The conversation the model is trained on. */

import { demoSchema } from "./demo-schema.ts";
import { createStatements, type Schema } from "./schema.ts";

export interface Message {
  readonly role: "system" | "user";
  readonly content: string;
}

/** System message and question; the demo shop stands in for a missing schema. */
export function sqlMessages(question: string, schema: Schema = demoSchema): Message[] {
  return [
    { role: "system", content: createStatements(schema) },
    { role: "user", content: question },
  ];
}
