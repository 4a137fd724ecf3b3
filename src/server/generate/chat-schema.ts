/** The body of POST /v1/chat/completions. */

import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { commonFields } from "./fields.ts";

const text = z.string().max(limits.promptBytes);
/** Parts of other types are refused by chat-prompt.ts, which says that the model reads text only. */
const part = z.looseObject({ type: z.string().max(limits.nameCharacters), text: text.nullish() });
const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "Names are 1 to 64 of A-Z a-z 0-9 _ -");

const toolCall = z.object({
  id: z.string().max(limits.nameCharacters).nullish(),
  type: z.literal("function").nullish(),
  function: z.object({ name, arguments: text }),
});

const message = z.object({
  role: z.enum(["developer", "system", "user", "assistant", "tool", "function"]),
  content: z.union([text, z.array(part).max(limits.chatMessages)]).nullish(),
  name: z.string().max(limits.nameCharacters).nullish(),
  tool_calls: z.array(toolCall).max(limits.tools).nullish(),
  tool_call_id: z.string().max(limits.nameCharacters).nullish(),
});

const tool = z.object({
  type: z.literal("function"),
  function: z.object({
    name,
    description: text.nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});

const namedTool = z.object({ type: z.literal("function"), function: z.object({ name }) });

const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  namedTool,
  z.object({
    type: z.literal("allowed_tools"),
    allowed_tools: z.object({
      mode: z.enum(["auto", "required"]),
      tools: z.array(namedTool).min(1).max(limits.tools),
    }),
  }),
]);

export const chatSchema = z.object({
  ...commonFields,
  messages: z.array(message).min(1).max(limits.chatMessages),
  max_completion_tokens: z.int().min(-1).nullish().describe("Another name for max_tokens"),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(limits.answerLogprobs).nullish(),
  tools: z.array(tool).max(limits.tools).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
}).openapi("ChatCompletionRequest");

export type ChatBody = z.infer<typeof chatSchema>;
export type ChatMessageBody = ChatBody["messages"][number];
export type ToolDefinition = z.infer<typeof tool>["function"];
export type ToolChoice = z.infer<typeof toolChoice>;
