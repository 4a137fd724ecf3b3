/** POST /v1/chat/completions */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { GenerateRequest } from "../../engine/request.ts";
import type { Env } from "../env.ts";
import { badRequest } from "../errors.ts";
import { errorAnswer, jsonRequest } from "../schema.ts";
import { type AnswerHead, chatAnswer, chatChunks, ChatFold } from "./chat-format.ts";
import { chatPrompt } from "./chat-prompt.ts";
import { type ChatBody, chatSchema } from "./chat-schema.ts";
import { Choice } from "./choice.ts";
import type { MaxTokens } from "./length.ts";
import { plainBound, unbounded } from "./plain-answer.ts";
import { checkModel, checkStream, generateRequest, samplingFor } from "./request.ts";
import { answerStream, answerWhole, followClient } from "./respond.ts";
import { answerResumed } from "./resume.ts";
import type { Run } from "./run.ts";
import {
  answerHead,
  beginRun,
  type Holdings,
  leaseGrammar,
  noText,
  type Routes,
  saltFor,
} from "./shared.ts";
import type { StreamItem } from "./stream-item.ts";
import { planTools, type ToolPlan } from "./tool-choice.ts";
import { UsageSum } from "./usage.ts";

const route = createRoute({
  ...{ method: "post", path: "/v1/chat/completions", tags: ["generation"] },
  summary: "The next message of a conversation",
  request: jsonRequest(chatSchema),
  responses: {
    200: {
      description: "The message, or with `stream` its pieces as server-sent events.",
      content: {
        "application/json": { schema: z.looseObject({ id: z.string() }) },
        "text/event-stream": { schema: z.string() },
        "application/msgpack": { schema: z.string() },
      },
    },
    ...{ 400: errorAnswer, 404: errorAnswer, 429: errorAnswer },
    ...{ 500: errorAnswer, 503: errorAnswer },
  },
});

export function addChatRoute(app: OpenAPIHono<Env>, routes: Routes): void {
  app.openapi(route, async (c) => {
    const body = c.req.valid("json");
    checkModel(body.model, routes.services.model.id);
    return answerResumed(c, routes) ?? await answer(c, routes, body);
  });
}

async function answer(c: Context<Env>, routes: Routes, body: ChatBody): Promise<Response> {
  const { services } = routes;
  checkBody(body);
  const plan = planTools(body);
  const count = body.n ?? 1;
  const run = await beginRun(c, routes, count, (held) => prepare(c, routes, body, plan, held));
  const head = answerHead("chatcmpl", services);
  const tokenBytes = body.logprobs ? services.text?.tokenBytes : undefined;
  const choices = Array.from({ length: count }, () =>
    new Choice({
      form: plan.form,
      names: new Set(plan.tools.map(({ name }) => name)),
      parallelCalls: body.parallel_tool_calls ?? true,
      tokenBytes,
      randomId: services.randomId,
    }));
  if (body.stream) {
    const includeUsage = body.stream_options?.include_usage ?? false;
    const chunks = chatChunks(head, tokenBytes, includeUsage);
    return answerStream(c, routes, head.id, run, streamed(run, choices, chunks, includeUsage));
  }
  followClient(c, run);
  const folds = choices.map((_, index) => new ChatFold(index, tokenBytes));
  return answerWhole(c, await folded(run, head, choices, folds));
}

function checkBody(body: ChatBody): void {
  checkStream(body);
  if (typeof body.top_logprobs === "number" && !body.logprobs) {
    throw badRequest("top_logprobs goes with `logprobs: true` only.", "top_logprobs");
  }
  const { param, value } = maxTokensOf(body);
  if (value !== 0) return;
  throw badRequest(`${param} is 0. Give 1 or more, or -1 for no bound.`, param, "invalid_value");
}

/** Under whichever of its names it was given. */
function maxTokensOf({ max_completion_tokens: given, max_tokens: other }: ChatBody): MaxTokens {
  return typeof given === "number"
    ? { param: "max_completion_tokens", value: given }
    : { param: "max_tokens", value: other };
}

async function prepare(
  c: Context<Env>,
  { services, settings }: Routes,
  body: ChatBody,
  plan: ToolPlan,
  held: Holdings,
): Promise<GenerateRequest[]> {
  const { text, model } = services;
  if (!text) throw noText("messages");
  if (!model.hasChatTemplate) {
    throw badRequest("The model has no chat template. Use /v1/completions.", "messages");
  }
  const sampling = await samplingFor(body, services);
  const tokens = await text.encodeChat(chatPrompt(body.messages, plan.tools, model.defaultSystem));
  const choices = body.n ?? 1;
  const logprobs = body.logprobs ? body.top_logprobs ?? 0 : undefined;
  const common = {
    fields: body,
    maxTokens: maxTokensOf(body),
    mostTokens: body.stream ? unbounded : plainBound({ choices, logprobs }),
    sampling,
    seed: body.seed ?? services.randomSeed(),
    logprobs,
    cacheSalt: saltFor(c, body.cache_salt),
    window: settings,
  };
  const request = (choice: number, grammar?: number) =>
    generateRequest({ ...common, grammar }, tokens, choice, services, "messages");
  request(0); // refuses what is too long before a grammar is compiled for it
  const grammar = await leaseGrammar(plan.grammar, services, held);
  return Array.from({ length: choices }, (_, choice) => request(choice, grammar));
}

async function* streamed(
  run: Run,
  choices: readonly Choice[],
  chunks: ReturnType<typeof chatChunks>,
  includeUsage: boolean,
): AsyncGenerator<StreamItem, void, undefined> {
  const usage = new UsageSum(choices.length);
  const begun = new Set<number>();
  for await (const { index, event } of run.events()) {
    if (event.type === "prefill") {
      yield { type: "progress", done: event.done, total: event.total };
      continue;
    }
    if (!begun.has(index)) {
      begun.add(index);
      yield { type: "chunk", value: chunks.begin(index) };
    }
    if (event.type === "end") usage.add(index, event);
    for (const delta of choices[index]?.accept(event) ?? []) {
      yield { type: "chunk", value: chunks.delta(index, delta) };
    }
  }
  if (includeUsage) yield { type: "chunk", value: chunks.usage(usage.object()) };
  yield { type: "done" };
}

async function folded(
  run: Run,
  head: AnswerHead,
  choices: readonly Choice[],
  folds: readonly ChatFold[],
): Promise<object> {
  const usage = new UsageSum(choices.length);
  for await (const { index, event } of run.events()) {
    if (event.type === "end") usage.add(index, event);
    for (const delta of choices[index]?.accept(event) ?? []) folds[index]?.add(delta);
  }
  return chatAnswer(head, folds.map((fold) => fold.choice()), usage.object());
}
