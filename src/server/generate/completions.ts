/** POST /v1/completions */

import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Env } from "../env.ts";
import { badRequest } from "../errors.ts";
import { errorAnswer, jsonRequest } from "../schema.ts";
import { CompletionChoice, CompletionFold, CompletionFormat } from "./completion-format.ts";
import { type Echo, echoOf, encodePrompts, type Prompt, promptCount } from "./completion-prompt.ts";
import { type CompletionBody, completionSchema } from "./completion-schema.ts";
import { foldCompletion, streamCompletion } from "./completion-answer.ts";
import { attentionFor } from "./length.ts";
import { outputGrammar } from "./output-grammar.ts";
import { type MostTokens, plainBound, unbounded } from "./plain-answer.ts";
import { checkModel, checkStream, generateRequest, samplingFor } from "./request.ts";
import { answerStream, answerWhole, followClient } from "./respond.ts";
import { answerResumed } from "./resume.ts";
import type { NothingRequest } from "./run.ts";
import {
  answerHead,
  beginRun,
  type Holdings,
  leaseGrammar,
  noText,
  type Routes,
  saltFor,
} from "./shared.ts";
import type { GenerateRequest } from "../../engine/request.ts";
import { limits } from "../../limits.ts";

const route = createRoute({
  ...{ method: "post", path: "/v1/completions", tags: ["generation"] },
  summary: "What follows a text",
  request: jsonRequest(completionSchema),
  responses: {
    200: {
      description: "The text, or with `stream` its pieces as server-sent events.",
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

export function addCompletionRoute(app: OpenAPIHono<Env>, routes: Routes): void {
  app.openapi(route, async (c) => {
    const body = c.req.valid("json");
    checkModel(body.model, routes.services.model.id);
    return answerResumed(c, routes) ?? await answer(c, routes, body);
  });
}

async function answer(c: Context<Env>, routes: Routes, body: CompletionBody): Promise<Response> {
  const { services } = routes;
  const wanted = body.n ?? 1;
  const tried = body.best_of ?? wanted;
  checkBody(body, wanted, tried);
  const count = promptCount(body.prompt) * tried;
  if (count > limits.requestChoices) {
    throw badRequest(
      `The prompts have ${count} choices together: ${limits.requestChoices} is the most.`,
      "prompt",
      "invalid_value",
    );
  }
  const echoes: (Echo | undefined)[] = [];
  const run = await beginRun(
    c,
    routes,
    Math.max(1, count), // no prompt at all is refused when they are encoded
    (held) => prepare(c, routes, body, tried, held, echoes),
  );
  const hasLogprobs = typeof body.logprobs === "number";
  const options = {
    tokenBytes: hasLogprobs ? services.text?.tokenBytes : undefined,
    hasText: services.text !== undefined,
  };
  const choices = Array.from(
    { length: count },
    (_, index) => new CompletionChoice({ ...options, echo: echoes[Math.floor(index / tried)] }),
  );
  const format = (index: number) => new CompletionFormat(index, { ...options, echo: undefined });
  const fold = () => new CompletionFold({ ...options, echo: undefined });
  const work = { run, head: answerHead("cmpl", services), choices, format, fold, wanted, tried };
  if (body.stream) {
    const includeUsage = body.stream_options?.include_usage ?? false;
    return answerStream(c, routes, work.head.id, run, streamCompletion(work, includeUsage));
  }
  followClient(c, run);
  return answerWhole(c, await foldCompletion(work));
}

function checkBody(body: CompletionBody, wanted: number, tried: number): void {
  checkStream(body);
  if (body.suffix) throw badRequest("suffix is not supported.", "suffix", "unsupported");
  if (tried < wanted) {
    throw badRequest(`best_of is ${tried}, less than n, which is ${wanted}.`, "best_of");
  }
  if (body.best_of && body.best_of > wanted && body.stream) {
    throw badRequest("best_of and stream exclude each other.", "best_of");
  }
  if (body.max_tokens === 0 && !body.echo) {
    throw badRequest(
      "max_tokens is 0, which goes with `echo: true` only.",
      "max_tokens",
      "invalid_value",
    );
  }
}

async function prepare(
  c: Context<Env>,
  routes: Routes,
  body: CompletionBody,
  tried: number,
  held: Holdings,
  echoes: (Echo | undefined)[],
): Promise<(GenerateRequest | NothingRequest)[]> {
  const { services, settings } = routes;
  if (typeof body.logprobs === "number" && !services.text) throw noText("logprobs");
  const sampling = await samplingFor(body, services);
  const prompts = await encodePrompts(body, services);
  const top = body.logprobs ?? undefined;
  const common = {
    fields: body,
    maxTokens: { param: "max_tokens", value: body.max_tokens },
    mostTokens: body.stream ? unbounded : boundFor(body, prompts, tried),
    sampling,
    seed: body.seed ?? services.randomSeed(),
    logprobs: tried > (body.n ?? 1) ? top ?? 0 : top,
    cacheSalt: saltFor(c, body.cache_salt),
    window: settings,
  };
  const requests = (grammar?: number) =>
    prompts.flatMap(({ tokens }) =>
      Array.from(
        { length: tried },
        (_, choice) =>
          body.max_tokens === 0
            ? { kind: "nothing" as const, tokens }
            : generateRequest({ ...common, grammar }, tokens, choice, services, "prompt"),
      )
    );
  requests(); // refuses what is too long before anything is done for it
  const grammar = await leaseGrammar(outputGrammar(body), services, held);
  if (body.echo) echoes.push(...await echoAll(c, routes, body, prompts));
  return requests(grammar);
}

/** Of several that are tried only some are told; still all of them are in memory until then. */
function boundFor(body: CompletionBody, prompts: readonly Prompt[], tried: number): MostTokens {
  const promptTokens = prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return plainBound({
    choices: body.max_tokens === 0 ? 0 : prompts.length * tried,
    logprobs: body.logprobs ?? undefined,
    echoed: body.echo ? promptTokens * tried : 0,
  });
}

/** One prompt after the other, so that no more is at work than the request has a place for. */
async function echoAll(
  c: Context<Env>,
  { services, settings }: Routes,
  body: CompletionBody,
  prompts: readonly Prompt[],
): Promise<Echo[]> {
  const echoes: Echo[] = [];
  const { contextTokens } = services.engine;
  const attention = attentionFor(body, body.max_tokens, contextTokens, settings);
  const top = body.logprobs ?? undefined;
  for (const prompt of prompts) {
    echoes.push(await echoOf(prompt, top, attention, services, c.req.raw.signal));
  }
  return echoes;
}
