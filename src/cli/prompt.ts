/** `arctic prompt`: one request, its text as it comes. */

import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import type { EndEvent, EngineEvent } from "../engine/events.ts";
import type { GenerateRequest, Sampling } from "../engine/request.ts";
import { sqlMessages } from "../sql/prompt.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import type { Context } from "./context.ts";
import { DEFAULT_TEMPERATURE } from "./flag-table.ts";
import type { Invocation, Options } from "./flags.ts";
import { type OpenModel, openModelForRun } from "./open-engine.ts";
import { Progress } from "./progress.ts";
import { promptText } from "./prompt-text.ts";
import { promptSql } from "./prompt-sql.ts";
import { summary, usageAndTimings } from "./prompt-usage.ts";
import { askedWindow, widestWindow } from "./window.ts";

type PromptOptions = Options<"prompt">;

/** @throws ArcticError where the model, the prompt or the device is at fault */
export async function prompt(
  invocation: Invocation<"prompt">,
  context: Context,
): Promise<ExitCode> {
  const { options } = invocation;
  if (options.sql) return await promptSql(invocation, context);
  if (options.db !== undefined) {
    throw new ArcticError("usage_wrong", "--db is for questions in SQL: give --sql, too.");
  }
  if (options.json && options.maxTokens === Infinity) {
    throw new ArcticError(
      "usage_wrong",
      "--json prints its document at the end, and with `--max-tokens -1` there may be none: give a " +
        "number of tokens, or leave --json out.",
    );
  }
  const text = options.tokens === undefined
    ? await promptText(invocation.arguments[0], context.signal)
    : "";
  const opened = await openModelForRun(options, context);
  try {
    const tokens = options.tokens ?? promptTokens(text, options, opened);
    return await generate(tokens, options, opened, context);
  } finally {
    opened.close();
  }
}

function promptTokens(
  text: string,
  options: PromptOptions,
  { tokenizer, embedded }: OpenModel,
): readonly number[] {
  if (tokenizer === undefined) {
    throw new ArcticError(
      "usage_no_tokenizer",
      "This model has no tokenizer, so its prompt must be token ids: use --tokens.",
    );
  }
  return options.raw
    ? tokenizer.encode(text)
    : tokenizer.encodeChat(conversation(text, options.system, embedded));
}

/** The embedded model knows its task from a schema: without one it is asked about the demo shop. */
function conversation(
  text: string,
  system: string | undefined,
  embedded: boolean,
): readonly ChatMessage[] {
  if (system === undefined && embedded) return sqlMessages(text);
  const user: ChatMessage = { role: "user", content: text };
  return system === undefined || system === ""
    ? [user]
    : [{ role: "system", content: system }, user];
}

async function generate(
  tokens: readonly number[],
  options: PromptOptions,
  opened: OpenModel,
  context: Context,
): Promise<ExitCode> {
  const { engine, tokenizer, embedded } = opened;
  if (tokenizer === undefined && options.stop.length > 0) {
    throw new ArcticError(
      "usage_no_tokenizer",
      "This model has no tokenizer, so it makes no text that --stop could be found in.",
    );
  }
  const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const { topK, topP, minP, typicalP, stop, stopOnLoop } = options;
  const temperature = options.temperature ?? (embedded ? 0 : DEFAULT_TEMPERATURE);
  const events = engine.submit({
    kind: "generate",
    tokens,
    sampling: { temperature, topK, topP, minP, typicalP, seed, ...penalties(options) },
    stop,
    stopOnLoop,
    ...extent(tokens.length, options, engine.contextTokens),
  }, context.signal);
  const answer = new Answer(options.json, tokenizer !== undefined, context);
  const end = await answer.consume(events);
  if (end.finishReason === "cancelled") return Exit.interrupted;
  if (options.json) await context.output.json(answer.document(end));
  context.messages.line(summary(end, temperature > 0 ? seed : undefined));
  return Exit.done;
}

/** DRY's base and length are those of its author and of llama.cpp. */
function penalties(options: PromptOptions): Pick<Sampling, "penalties"> {
  const { repetitionPenalty, frequencyPenalty, presencePenalty, dryMultiplier } = options;
  const off = repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0;
  if (off && dryMultiplier === 0) return {};
  return {
    penalties: {
      repetition: repetitionPenalty,
      frequency: frequencyPenalty,
      presence: presencePenalty,
      lastTokens: options.penaltyLastN,
      ...(dryMultiplier > 0 && {
        dry: {
          multiplier: dryMultiplier,
          base: 1.75,
          allowedLength: 2,
          breakers: new Set<number>(),
        },
      }),
    },
  };
}

/**
 * How far a generation goes, and what its tokens see when that is past the context's end.
 * @throws ArcticError `request_context_length` for a prompt that needs a window and has none
 */
function extent(
  promptTokens: number,
  options: PromptOptions,
  contextTokens: number,
): Pick<GenerateRequest, "maxTokens" | "attention"> {
  const maxTokens = options.unbounded ? Infinity : options.maxTokens;
  const room = contextTokens - promptTokens;
  const past = maxTokens === Infinity || maxTokens !== undefined && maxTokens > room && room > 0;
  const attention = askedWindow(options, contextTokens) ??
    (past ? widestWindow(contextTokens) : undefined);
  const most = contextTokens - 1;
  if (promptTokens > most && attention === undefined) {
    throw new ArcticError(
      "request_context_length",
      `The prompt has ${promptTokens} tokens, and the model's context of ${contextTokens} tokens has ` +
        `room for ${most}. Shorten it, or give \`--window W\`: then only its first and its last ` +
        "tokens are seen.",
    );
  }
  return {
    ...(maxTokens === undefined || maxTokens === Infinity ? {} : { maxTokens }),
    ...(attention === undefined ? {} : { attention }),
  };
}

/** Folds the events of a request; streams its text unless one JSON document is wanted. */
class Answer {
  readonly #json: boolean;
  readonly #hasText: boolean;
  readonly #context: Context;
  /** Kept only for a JSON document: an endless output is not held in memory. */
  readonly #tokens: number[] = [];
  #text = "";
  #count = 0;

  constructor(json: boolean, hasText: boolean, context: Context) {
    this.#json = json;
    this.#hasText = hasText;
    this.#context = context;
  }

  async consume(events: AsyncIterable<EngineEvent>): Promise<EndEvent> {
    const reading = new Progress(this.#context.messages, { label: "Reading", unit: "tokens" });
    for await (const event of events) {
      if (event.type === "prefill") reading.update(event.done, event.total);
      else if (event.type === "token") {
        if (this.#count === 0) reading.end();
        await this.#add(event.token, event.text);
      } else if (event.type === "end") {
        reading.end();
        await this.#show(event.text);
        if (!this.#json) await this.#context.output.write("\n");
        return event;
      }
    }
    throw new ArcticError("engine_ended", "The engine ended the request without a result.");
  }

  document(end: EndEvent): unknown {
    return {
      text: this.#text,
      tokens: this.#tokens,
      finish_reason: end.finishReason,
      ...usageAndTimings(end),
    };
  }

  async #add(token: number, text: string): Promise<void> {
    const separator = this.#count === 0 ? "" : " ";
    this.#count += 1;
    if (this.#json) this.#tokens.push(token);
    if (this.#hasText) await this.#show(text);
    else if (!this.#json) await this.#context.output.write(`${separator}${token}`);
  }

  async #show(text: string): Promise<void> {
    if (this.#json) this.#text += text;
    else if (text !== "") await this.#context.output.writeGenerated(text);
  }
}
