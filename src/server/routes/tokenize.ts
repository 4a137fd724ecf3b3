/** Text to tokens and back, and conversations to the text that the model is given. */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import type { ChatMessage } from "../../tokenizer/chat-template.ts";
import type { Admission } from "../admission.ts";
import type { Env } from "../env.ts";
import { ApiError, badRequest } from "../errors.ts";
import { chatPrompt } from "../generate/chat-prompt.ts";
import { type ChatBody, chatSchema } from "../generate/chat-schema.ts";
import { checkTokenIds } from "../generate/request.ts";
import { pieceSchema, piecesOf } from "./pieces.ts";
import { errorAnswer, jsonAnswer, jsonRequest } from "../schema.ts";
import type { Services, TextService } from "../services.ts";

const text = z.string().max(limits.promptBytes);
/** As /v1/chat/completions takes it, so that both make the same prompt of it. */
const { messages, tools } = chatSchema.shape;

const tokenizeSchema = z.object({
  content: text.optional(),
  prompt: text.optional(),
  messages: messages.optional(),
  tools,
  add_special: z.boolean().optional().describe("Whether the token that begins a text comes first"),
  add_special_tokens: z.boolean().optional().describe("Another name for add_special"),
  with_pieces: z.boolean().optional().describe("Whether each token comes with its text"),
});
const tokensSchema = z.object({
  tokens: z.union([z.array(z.int()), z.array(pieceSchema)]),
  count: z.int(),
  max_model_len: z.int(),
});
/** Which ids there are is checked below: of a million of them, one by one here takes long. */
const detokenizeSchema = z.object({ tokens: z.array(z.number()).max(limits.contextTokens) });
const textSchema = z.object({ content: z.string(), prompt: z.string() });

function route<In extends z.ZodType, Out extends z.ZodType>(
  path: string,
  summary: string,
  input: In,
  output: Out,
) {
  return createRoute({
    ...{ method: "post", path, summary, tags: ["tokens"] },
    request: jsonRequest(input),
    responses: { 200: jsonAnswer("Done.", output), 400: errorAnswer, 429: errorAnswer },
  });
}

const tokenizeRoute = route("/tokenize", "Text to tokens", tokenizeSchema, tokensSchema);
const detokenizeRoute = route("/detokenize", "Tokens to text", detokenizeSchema, textSchema);
const templateRoute = route(
  "/apply-template",
  "A conversation as the model sees it",
  z.object({ messages, tools }),
  z.object({ prompt: z.string() }),
);

export function addTokenRoutes(
  app: OpenAPIHono<Env>,
  services: Services,
  admission: Admission,
): void {
  const { contextTokens, vocabulary } = services.engine;
  app.openapi(tokenizeRoute, async (c) => {
    const body = c.req.valid("json");
    const tokens = await admitted(admission, c.var.keyIdentity, () => tokenize(services, body));
    const shown = body.with_pieces ? piecesOf(tokens, textOf(services)) : tokens;
    return c.json({ tokens: shown, count: tokens.length, max_model_len: contextTokens }, 200);
  });
  app.openapi(detokenizeRoute, async (c) => {
    const { tokens } = c.req.valid("json");
    checkTokenIds(tokens, vocabulary, "tokens");
    const content = await admitted(
      admission,
      c.var.keyIdentity,
      () => textOf(services).decode(tokens),
    );
    return c.json({ content, prompt: content }, 200);
  });
  app.openapi(templateRoute, async (c) => {
    const body = c.req.valid("json");
    const prompt = await admitted(
      admission,
      c.var.keyIdentity,
      () => chatText(services).renderChat(conversation(services, body.messages, body.tools)),
    );
    return c.json({ prompt }, 200);
  });
}

/** Long texts take a worker's time: they count as one answer that is running. */
async function admitted<T>(
  admission: Admission,
  keyIdentity: string,
  work: () => Promise<T>,
): Promise<T> {
  const ticket = admission.admit(keyIdentity, 1);
  try {
    return await work();
  } finally {
    ticket.release();
  }
}

function tokenize(
  services: Services,
  body: z.infer<typeof tokenizeSchema>,
): Promise<number[]> {
  const given = [body.content, body.prompt, body.messages].filter((value) => value !== undefined);
  if (given.length !== 1) throw badRequest("Give one of content, prompt and messages.", null);
  if (body.messages) {
    return chatText(services).encodeChat(conversation(services, body.messages, body.tools));
  }
  const bos = body.add_special ?? body.add_special_tokens;
  const source = body.content ?? body.prompt ?? "";
  return textOf(services).encode(source, bos === undefined ? {} : { bos });
}

function conversation(
  { model }: Services,
  given: ChatBody["messages"],
  tools: ChatBody["tools"],
): ChatMessage[] {
  return chatPrompt(given, (tools ?? []).map((tool) => tool.function), model.defaultSystem);
}

function textOf({ text }: Services): TextService {
  if (text) return text;
  throw new ApiError(400, "The model has no tokenizer: it takes and gives token ids alone.");
}

function chatText(services: Services): TextService {
  if (services.model.hasChatTemplate) return textOf(services);
  throw new ApiError(400, "The model has no chat template. Give a text.", { param: "messages" });
}
