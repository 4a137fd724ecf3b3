/** The messages of a request as the model's chat template takes them. */

import type { ChatMessage } from "../../tokenizer/chat-template.ts";
import { badRequest } from "../errors.ts";
import type { ChatMessageBody, ToolDefinition } from "./chat-schema.ts";
import { addToSystem, describeTools, withCalls, writeResult } from "./tools-prompt.ts";

/**
 * @param tools that the model may call
 * @param defaultSystem the system message where there is none
 * @throws ApiError 400 for content that is no text
 */
export function chatPrompt(
  messages: readonly ChatMessageBody[],
  tools: readonly ToolDefinition[],
  defaultSystem: string | undefined,
): ChatMessage[] {
  let prompt = joinResults(messages.map(plainMessage));
  if (defaultSystem !== undefined && !prompt.some(({ role }) => role === "system")) {
    prompt = [{ role: "system", content: defaultSystem }, ...prompt];
  }
  return tools.length > 0 ? addToSystem(prompt, describeTools(tools)) : prompt;
}

interface PlainMessage extends ChatMessage {
  readonly isResult: boolean;
}

function plainMessage(message: ChatMessageBody, index: number): PlainMessage {
  const content = textOf(message, index);
  const plain = (role: string, text: string, isResult = false) => ({
    role,
    content: text,
    isResult,
  });
  switch (message.role) {
    case "developer":
      return plain("system", content);
    case "tool":
    case "function":
      return plain("user", writeResult(content), true);
    case "assistant":
      return plain("assistant", withCalls(content, message.tool_calls));
    default:
      return plain(message.role, content);
  }
}

/** Results that follow each other are one message: many templates want roles to alternate. */
function joinResults(messages: readonly PlainMessage[]): ChatMessage[] {
  const joined: PlainMessage[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    if (message.isResult && last?.isResult) {
      joined[joined.length - 1] = { ...last, content: `${last.content}\n${message.content}` };
    } else joined.push(message);
  }
  return joined.map(({ role, content }) => ({ role, content }));
}

function textOf(message: ChatMessageBody, index: number): string {
  const { content } = message;
  const param = `messages[${index}].content`;
  if (typeof content === "string") return content;
  if (!content) {
    if (message.role === "assistant" && message.tool_calls?.length) return "";
    throw badRequest(`${param} is missing. Only a message with tool_calls may do without.`, param);
  }
  return content.map((part, at) => {
    if (part.type === "text" && typeof part.text === "string") return part.text;
    throw badRequest(
      `${param}[${at}] is of type ${JSON.stringify(part.type)}: the model reads text only.`,
      `${param}[${at}].type`,
      "invalid_value",
    );
  }).join("");
}
