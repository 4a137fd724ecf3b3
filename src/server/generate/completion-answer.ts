/** The events of a run as a stream of completion chunks, or as one completion. */

import { limits } from "../../limits.ts";
import { nextTurn } from "../next-turn.ts";
import type { ChoiceEvent, Run } from "./run.ts";
import type { AnswerHead } from "./chat-format.ts";
import {
  type CompletionChoice,
  type CompletionFold,
  type CompletionFormat,
  completionObject,
  type Piece,
  slices,
} from "./completion-format.ts";
import type { StreamItem } from "./stream-item.ts";
import { UsageSum } from "./usage.ts";

export interface CompletionWork {
  readonly run: Run;
  readonly head: AnswerHead;
  /** `tried` of each prompt, side by side. */
  readonly choices: readonly CompletionChoice[];
  readonly format: (index: number) => CompletionFormat;
  readonly fold: () => CompletionFold;
  /** Choices of each prompt that are told, and that are generated to choose them from. */
  readonly wanted: number;
  readonly tried: number;
}

export async function* streamCompletion(
  { run, head, choices, format, tried }: CompletionWork,
  includeUsage: boolean,
): AsyncGenerator<StreamItem, void, undefined> {
  const usage = new UsageSum(tried);
  const formats = choices.map((_, index) => format(index));
  const begun = new Set<number>();
  const chunk = (index: number, piece: Piece): StreamItem => ({
    type: "chunk",
    value: completionObject(
      head,
      [formats[index]?.choice(piece) ?? {}],
      includeUsage ? null : undefined,
    ),
  });
  for await (const { index, event } of run.events()) {
    if (event.type === "prefill") {
      yield { type: "progress", done: event.done, total: event.total };
      continue;
    }
    if (event.type === "end") usage.add(index, event);
    const choice = choices[index];
    if (!choice) continue;
    if (!begun.has(index)) {
      begun.add(index);
      for await (const piece of beginning(choice)) yield chunk(index, piece);
    }
    for (const piece of choice.accept(event)) yield chunk(index, piece);
  }
  if (includeUsage) {
    yield { type: "chunk", value: completionObject(head, [], usage.object()) };
  }
  yield { type: "done" };
}

export async function foldCompletion(work: CompletionWork): Promise<object> {
  const { run, head, choices, fold, wanted, tried } = work;
  const usage = new UsageSum(tried);
  const folds = choices.map(() => fold());
  const ranks = choices.map(() => new MeanLogprob());
  for (const [index, choice] of choices.entries()) {
    for await (const piece of beginning(choice)) folds[index]?.add(piece);
  }
  for await (const { index, event } of run.events()) {
    if (event.type === "end") usage.add(index, event);
    ranks[index]?.add(event);
    for (const piece of choices[index]?.accept(event) ?? []) folds[index]?.add(piece);
  }
  const told = best(ranks, wanted, tried).map((from, index) => folds[from]?.choice(index) ?? {});
  return completionObject(head, told, usage.object());
}

/** An echoed prompt, in turns of the event loop: it comes at once, however long it is. */
async function* beginning(choice: CompletionChoice): AsyncGenerator<Piece, void, undefined> {
  for (const piece of choice.begin()) {
    for (const slice of slices(piece, limits.echoTurnTokens)) {
      yield slice;
      await nextTurn();
    }
  }
}

/** How likely the tokens of a choice are, by which the best of some are chosen. */
class MeanLogprob {
  #sum = 0;
  #count = 0;

  add(event: ChoiceEvent["event"]): void {
    if (event.type !== "token") return;
    this.#sum += event.logprob ?? 0;
    this.#count += 1;
  }

  get value(): number {
    return this.#count === 0 ? -Infinity : this.#sum / this.#count;
  }
}

/** Which choices are told, in order: of each prompt the likeliest. */
function best(ranks: readonly MeanLogprob[], wanted: number, tried: number): number[] {
  const told: number[] = [];
  for (let first = 0; first < ranks.length; first += tried) {
    const own = ranks.slice(first, first + tried).map(({ value }, at) => ({ value, at }));
    if (tried > wanted) own.sort((a, b) => b.value === a.value ? a.at - b.at : b.value - a.value);
    told.push(...own.slice(0, wanted).map(({ at }) => first + at));
  }
  return told;
}
