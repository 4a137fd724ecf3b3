/**
 * Tools for a model whose chat template knows none: they are described in the system message, and calls
 * and results are written into messages as text. This file is the whole of that language.
 */

import type { ChatMessage } from "../../tokenizer/chat-template.ts";
import type { ChatMessageBody, ToolDefinition } from "./chat-schema.ts";

export const CALL_OPEN = "<tool_call>";
export const CALL_CLOSE = "</tool_call>";

/** What the system message says about tools. */
export function describeTools(tools: readonly ToolDefinition[]): string {
  const definitions = tools.map(({ name, description, parameters }) =>
    JSON.stringify({ name, description: description ?? undefined, parameters: parameters ?? {} })
  );
  return [
    "You can call these functions. Each line is the JSON definition of one:",
    ...definitions,
    "To call a function, answer with nothing but this, once for each call:",
    `${CALL_OPEN}{"name": "the function's name", "arguments": {"its": "arguments"}}${CALL_CLOSE}`,
    "If no function is needed, answer in plain text.",
  ].join("\n");
}

/** A call that the assistant made earlier, as it would have written it. */
export function writeCall(name: string, args: string): string {
  return `${CALL_OPEN}{"name": ${JSON.stringify(name)}, "arguments": ${args || "{}"}}${CALL_CLOSE}`;
}

/** The result of a call, as the user tells it. */
export function writeResult(content: string): string {
  return `<tool_response>${content}</tool_response>`;
}

/** Messages with `text` at the end of the first system message, or as one of their own. */
export function addToSystem(messages: readonly ChatMessage[], text: string): ChatMessage[] {
  const at = messages.findIndex(({ role }) => role === "system");
  const system = messages[at];
  if (!system) return [{ role: "system", content: text }, ...messages];
  return messages.with(at, { role: "system", content: `${system.content}\n\n${text}` });
}

/** An assistant's message with its calls in it. */
export function withCalls(content: string, calls: ChatMessageBody["tool_calls"]): string {
  const written = (calls ?? []).map(({ function: { name, arguments: args } }) =>
    writeCall(name, args)
  );
  return [...(content === "" ? [] : [content]), ...written].join("\n");
}
