/** `arctic score`: how likely a model finds every token of a text. */

import { likeliest } from "../engine/logprobs.ts";
import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import type { Context } from "./context.ts";
import type { Invocation, Options } from "./flags.ts";
import { readTextFile } from "./input.ts";
import { type OpenModel, openModelForRun } from "./open-engine.ts";
import { Progress } from "./progress.ts";
import { parseTokenIds } from "./token-ids.ts";
import { askedWindow } from "./window.ts";

/** What stands for a probability of zero: JSON has no minus infinity. */
const LOGPROB_FLOOR = -9999;

/** @throws ArcticError where the model, the text or the device is at fault */
export async function score(invocation: Invocation<"score">, context: Context): Promise<ExitCode> {
  const { options } = invocation;
  const input = await readTextFile(options.tokensFile ?? options.textFile ?? "-", context.signal);
  const ids = options.tokensFile === undefined
    ? undefined
    : parseTokenIds(input, `The file ${options.tokensFile}`, "request_bad_tokens");
  const opened = await openModelForRun(options, context);
  try {
    const tokens = ids ?? textTokens(input, opened);
    return await scoreTokens(tokens, options, opened, context);
  } finally {
    opened.close();
  }
}

function textTokens(text: string, { tokenizer }: OpenModel): readonly number[] {
  if (tokenizer === undefined) {
    throw new ArcticError(
      "usage_no_tokenizer",
      "This model has no tokenizer, so it can only score token ids: use --tokens-file.",
    );
  }
  return tokenizer.encode(text);
}

async function scoreTokens(
  tokens: readonly number[],
  options: Options<"score">,
  { engine }: OpenModel,
  context: Context,
): Promise<ExitCode> {
  const progress = new Progress(context.messages, { label: "Scoring", unit: "tokens" });
  let sum = 0;
  let logprob: number | null = null;
  const attention = askedWindow(options, engine.contextTokens);
  const request = { kind: "score", tokens, ...(attention && { attention }) } as const;
  for await (const event of engine.submit(request, context.signal)) {
    if (event.type === "end" && event.finishReason === "cancelled") return Exit.interrupted;
    if (event.type !== "scored") continue;
    const { position, logprobs } = event;
    await context.output.write(
      line(position, tokens[position] ?? 0, logprob, logprobs, options.top),
    );
    sum += logprob ?? 0;
    progress.update(position + 1, tokens.length);
    const next = tokens[position + 1];
    logprob = next === undefined ? null : clamp(logprobs[next] ?? LOGPROB_FLOOR);
  }
  progress.end();
  summarise(tokens.length, sum, context);
  return Exit.done;
}

function line(
  pos: number,
  token: number,
  logprob: number | null,
  logprobs: Float32Array,
  top: number | "all",
): string {
  const ids = likeliest(logprobs, top === "all" ? logprobs.length : top);
  const next = ids.map((id) => [id, round(clamp(logprobs[id] ?? LOGPROB_FLOOR))]);
  const record = { pos, token, logprob: logprob === null ? null : round(logprob), next };
  return `${JSON.stringify(record)}\n`;
}

function clamp(logprob: number): number {
  return Math.max(LOGPROB_FLOOR, logprob);
}

/** Eight decimals: below what f32 logits are worth, and half as long as all digits. */
function round(logprob: number): number {
  return Math.round(logprob * 1e8) / 1e8;
}

function summarise(tokens: number, sum: number, { messages }: Context): void {
  messages.line(`tokens: ${tokens}`);
  if (tokens < 2) {
    messages.line(
      "mean negative log-likelihood: none, because nothing comes before the only token",
    );
    return;
  }
  const mean = -sum / (tokens - 1);
  messages.line(`mean negative log-likelihood: ${mean.toFixed(6)}`);
  messages.line(`perplexity: ${Math.exp(mean).toPrecision(7)}`);
}
