/** `arctic eval`: how good a model's answers are. */

import { ExpertHistogram } from "./expert-histogram.ts";
import { Exit, type ExitCode } from "../errors.ts";
import type { EndEvent } from "../engine/events.ts";
import { evaluateSql, type Evaluation } from "../sql/evaluate.ts";
import type { Context } from "./context.ts";
import { evaluationText, failureLines } from "./eval-report.ts";
import type { Invocation, Options } from "./flags.ts";
import { type OpenModel, openModelForRun } from "./open-engine.ts";
import { Progress } from "./progress.ts";
import { completeGuided, needTokenizer } from "./sql-complete.ts";
import { SqlConstraint } from "./sql-constraint.ts";

/** What the answers took, all together. */
export interface Effort {
  prompt_tokens: number;
  completion_tokens: number;
  prefill_ms: number;
  decode_ms: number;
}

/** @throws ArcticError where the model or the device is at fault */
export async function evaluate(
  { options }: Invocation<"eval">,
  context: Context,
): Promise<ExitCode> {
  let histogram: ExpertHistogram | undefined;
  const opened = await openModelForRun(
    options,
    context,
    { onRouting: (layer, routing) => histogram?.add(layer, routing) },
  );
  try {
    histogram = new ExpertHistogram(opened.source.config);
    const effort: Effort = {
      prompt_tokens: 0,
      completion_tokens: 0,
      prefill_ms: 0,
      decode_ms: 0,
    };
    const result = await askAll(options, opened, context, effort);
    await show(result, effort, histogram, opened, options, context);
    return Exit.done;
  } finally {
    opened.close();
  }
}

async function askAll(
  { n, seed = 0, split, unguided }: Options<"eval">,
  opened: OpenModel,
  { messages, signal }: Context,
  effort: Effort,
): Promise<Evaluation> {
  const tokenizer = needTokenizer(opened);
  const bar = new Progress(messages, { label: "Asking", unit: "questions" });
  try {
    return await evaluateSql(async (conversation, schema, compiles) => {
      const tokens = tokenizer.encodeChat(conversation);
      const constrain = unguided ? null : () => new SqlConstraint(schema, tokenizer, compiles);
      // Each question is read whole: the histogram is to count all of its tokens.
      const alone = { cacheSalt: crypto.randomUUID() };
      const { text, end } = await completeGuided(opened, tokens, signal, alone, constrain);
      count(effort, end);
      return text;
    }, {
      n,
      seed,
      split,
      now: () => performance.now(),
      progress: (_, done) => bar.update(done, n),
    });
  } finally {
    bar.end();
  }
}

function count(effort: Effort, { usage, timings }: EndEvent): void {
  effort.prompt_tokens += usage.promptTokens;
  effort.completion_tokens += usage.completionTokens;
  effort.prefill_ms += timings.prefillMs;
  effort.decode_ms += timings.decodeMs;
}

async function show(
  { failures, ...result }: Evaluation,
  effort: Effort,
  histogram: ExpertHistogram,
  { backend, source, embedded }: OpenModel,
  { json, verbose, unguided }: Options<"eval">,
  { output }: Context,
): Promise<void> {
  const layers = histogram.layers();
  const document = {
    model: embedded ? "embedded" : source.folder,
    backend: backend.kind,
    adapter: backend.device,
    ...result,
    tokens_per_second: rate(effort.completion_tokens, effort.prefill_ms + effort.decode_ms),
    prefill_tokens_per_second: rate(effort.prompt_tokens, effort.prefill_ms),
    ...effort,
    guided: !unguided,
    expert_histogram: layers,
  };
  if (json) return await output.json(verbose ? { ...document, failures } : document);
  await output.write(evaluationText(document));
  if (verbose) await output.writeGenerated(failureLines(failures));
}

function rate(tokens: number, milliseconds: number): number {
  return milliseconds > 0 ? tokens / milliseconds * 1000 : 0;
}
