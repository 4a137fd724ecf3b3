/** Answers of POST /v1/chat/completions: chunks of a stream, and the whole that they add up to. */

import type { Delta, Finish } from "./delta.ts";
import { chatLogprobs, type TokenBytes, type TokenEntry } from "./logprobs.ts";
import type { UsageObject } from "./usage.ts";

/** What all chunks of an answer, and the answer, begin with. */
export interface AnswerHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

type Logprobs = ReturnType<typeof chatLogprobs>;

/** @param tokenBytes where log-probabilities are wanted */
export function chatChunks(
  head: AnswerHead,
  tokenBytes: TokenBytes | undefined,
  includeUsage: boolean,
) {
  const chunk = (choices: readonly object[], usage: UsageObject | null = null) => ({
    ...{ id: head.id, object: "chat.completion.chunk", created: head.created, model: head.model },
    system_fingerprint: head.system_fingerprint,
    choices,
    ...(includeUsage ? { usage } : {}),
  });
  const choice = (
    index: number,
    delta: object,
    entries: readonly TokenEntry[] = [],
    finish: Finish | { finish_reason: null } = { finish_reason: null },
  ) => {
    const logprobs = tokenBytes && entries.length > 0 ? chatLogprobs(entries, tokenBytes) : null;
    return chunk([{ index, delta, logprobs, ...finish }]);
  };
  return {
    begin: (index: number) => choice(index, { role: "assistant", content: "" }),
    delta: (index: number, delta: Delta) => {
      switch (delta.type) {
        case "content":
          return choice(index, { content: delta.text }, delta.logprobs);
        case "call":
        case "arguments":
          return choice(index, { tool_calls: [callPiece(delta)] });
        case "finish":
          return choice(index, {}, delta.logprobs, delta.finish);
      }
    },
    usage: (usage: UsageObject) => chunk([], usage),
  };
}

function callPiece(delta: Extract<Delta, { type: "call" | "arguments" }>) {
  if (delta.type === "arguments") {
    return { index: delta.call, function: { arguments: delta.text } };
  }
  const { call, id, name } = delta;
  return { index: call, id, type: "function", function: { name, arguments: "" } };
}

interface Call {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

/** A choice of a plain answer, from its deltas. */
export class ChatFold {
  readonly #index: number;
  readonly #tokenBytes: TokenBytes | undefined;
  readonly #texts: string[] = [];
  readonly #calls: Call[] = [];
  readonly #logprobs: Logprobs["content"] = [];
  #finish: Finish | undefined;

  constructor(index: number, tokenBytes: TokenBytes | undefined) {
    this.#index = index;
    this.#tokenBytes = tokenBytes;
  }

  add(delta: Delta): void {
    switch (delta.type) {
      case "content":
        this.#texts.push(delta.text);
        this.#addLogprobs(delta.logprobs);
        break;
      case "call":
        this.#calls[delta.call] = { id: delta.id, name: delta.name, arguments: "" };
        break;
      case "arguments": {
        const call = this.#calls[delta.call];
        if (call) call.arguments += delta.text;
        break;
      }
      case "finish":
        this.#finish = delta.finish;
        this.#addLogprobs(delta.logprobs);
    }
  }

  choice() {
    const text = this.#texts.join("");
    const calls = this.#calls.map(({ id, name, arguments: args }) => ({
      ...{ id, type: "function", function: { name, arguments: args } },
    }));
    const message = {
      role: "assistant",
      content: text === "" && calls.length > 0 ? null : text,
      refusal: null,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    };
    const logprobs = this.#tokenBytes ? { content: this.#logprobs, refusal: null } : null;
    return { index: this.#index, message, logprobs, ...this.#finish };
  }

  #addLogprobs(entries: readonly TokenEntry[]): void {
    if (!this.#tokenBytes) return;
    for (const entry of chatLogprobs(entries, this.#tokenBytes).content) this.#logprobs.push(entry);
  }
}

export function chatAnswer(head: AnswerHead, choices: readonly object[], usage: UsageObject) {
  return {
    ...{ id: head.id, object: "chat.completion", created: head.created, model: head.model },
    system_fingerprint: head.system_fingerprint,
    choices,
    usage,
  };
}
