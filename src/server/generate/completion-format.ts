/** Answers of POST /v1/completions: chunks of a stream, and the whole that they add up to. */

import type { EngineEvent } from "../../engine/events.ts";
import type { AnswerHead } from "./chat-format.ts";
import type { Echo } from "./completion-prompt.ts";
import { type Finish, finishOf } from "./delta.ts";
import {
  type CompletionLogprobs,
  completionLogprobs,
  endEntry,
  LogprobAligner,
  type TokenBytes,
  type TokenEntry,
} from "./logprobs.ts";
import { checkEnd } from "./run.ts";
import type { UsageObject } from "./usage.ts";

/** What an event adds to a choice. */
export interface Piece {
  readonly text: string;
  readonly logprobs: readonly TokenEntry[];
  /** Where the model has no text. */
  readonly tokenIds: readonly number[];
  readonly finish: Finish | undefined;
}

export interface CompletionChoiceOptions {
  readonly echo: Echo | undefined;
  /** Where log-probabilities are wanted. */
  readonly tokenBytes: TokenBytes | undefined;
  /** Tells ids in place of text. */
  readonly hasText: boolean;
}

/** One choice while it runs. */
export class CompletionChoice {
  readonly #options: CompletionChoiceOptions;
  readonly #aligner: LogprobAligner | undefined;

  constructor(options: CompletionChoiceOptions) {
    this.#options = options;
    this.#aligner = options.tokenBytes && new LogprobAligner(options.tokenBytes);
  }

  /** What comes before the first event. */
  begin(): Piece[] {
    const { echo } = this.#options;
    // A prompt of special tokens alone has no text, and still has their entries.
    if (!echo || echo.text === "" && echo.entries.length === 0) return [];
    return [{ text: echo.text, logprobs: echo.entries, tokenIds: [], finish: undefined }];
  }

  accept(event: EngineEvent): Piece[] {
    if (event.type === "token") {
      this.#aligner?.push(event.token, event.logprob ?? 0, event.top ?? []);
      const tokenIds = this.#options.hasText ? [] : [event.token];
      if (event.text === "" && tokenIds.length === 0) return [];
      const logprobs = this.#aligner?.take(event.text) ?? [];
      return [{ text: event.text, logprobs, tokenIds, finish: undefined }];
    }
    if (event.type !== "end") return [];
    checkEnd(event);
    this.#aligner?.close();
    const logprobs = [
      ...(this.#aligner?.take(event.text) ?? []),
      ...(this.#aligner?.finish(typeof event.matched === "string") ?? []),
      ...(this.#aligner && event.endToken ? [endEntry(event.endToken)] : []),
    ];
    return [{ text: event.text, logprobs, tokenIds: [], finish: finishOf(event) }];
  }
}

/** Pieces of one choice as the objects of an answer: they count characters for `text_offset`. */
export class CompletionFormat {
  readonly #index: number;
  readonly #tokenBytes: TokenBytes | undefined;
  readonly #hasText: boolean;
  #offset = 0;

  constructor(index: number, { tokenBytes, hasText }: CompletionChoiceOptions) {
    this.#index = index;
    this.#tokenBytes = tokenBytes;
    this.#hasText = hasText;
  }

  choice({ text, logprobs, tokenIds, finish }: Piece) {
    const told = this.#tokenBytes && completionLogprobs(logprobs, this.#offset, this.#tokenBytes);
    for (const { token } of logprobs) this.#offset += [...token].length;
    return {
      ...{ index: this.#index, text },
      logprobs: told ?? null,
      ...(this.#hasText ? {} : { token_ids: tokenIds }),
      ...(finish ?? { finish_reason: null }),
    };
  }
}

/** A choice of a plain answer. Pieces are put into its form as they come, not all of them at its end. */
export class CompletionFold {
  readonly #format: CompletionFormat;
  readonly #options: CompletionChoiceOptions;
  readonly #texts: string[] = [];
  readonly #tokenIds: number[] = [];
  readonly #logprobs: CompletionLogprobs = {
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  };
  #finish: Finish | undefined;

  constructor(options: CompletionChoiceOptions) {
    this.#format = new CompletionFormat(0, options);
    this.#options = options;
  }

  add(piece: Piece): void {
    if (piece.text !== "") this.#texts.push(piece.text);
    this.#finish = piece.finish;
    for (const id of piece.tokenIds) this.#tokenIds.push(id);
    const { logprobs } = this.#format.choice(piece);
    if (!logprobs) return;
    // One by one: a call takes only so many arguments.
    for (const [at, token] of logprobs.tokens.entries()) {
      this.#logprobs.tokens.push(token);
      this.#logprobs.token_logprobs.push(logprobs.token_logprobs[at] ?? null);
      this.#logprobs.top_logprobs.push(logprobs.top_logprobs[at] ?? null);
      this.#logprobs.text_offset.push(logprobs.text_offset[at] ?? 0);
    }
  }

  /** @param index that it has among the choices that are told */
  choice(index: number) {
    return {
      ...{ index, text: this.#texts.join("") },
      logprobs: this.#options.tokenBytes ? this.#logprobs : null,
      ...(this.#options.hasText ? {} : { token_ids: this.#tokenIds }),
      ...(this.#finish ?? { finish_reason: null }),
    };
  }
}

/** The same piece as several, of `count` entries each at most. */
export function* slices(piece: Piece, count: number): Generator<Piece, void, undefined> {
  const { logprobs } = piece;
  yield { ...piece, logprobs: logprobs.slice(0, count) };
  for (let from = count; from < logprobs.length; from += count) {
    yield { ...piece, text: "", tokenIds: [], logprobs: logprobs.slice(from, from + count) };
  }
}

/** An answer or a chunk of one, which are of one form. */
export function completionObject(
  head: AnswerHead,
  choices: readonly object[],
  usage: UsageObject | null | undefined,
) {
  return {
    ...{ id: head.id, object: "text_completion", created: head.created, model: head.model },
    system_fingerprint: head.system_fingerprint,
    choices,
    ...(usage === undefined ? {} : { usage }),
  };
}
