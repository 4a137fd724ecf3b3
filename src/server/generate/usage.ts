/** What a request used, summed over its prompts and their choices. */

import type { EndEvent } from "../../engine/events.ts";

export interface UsageObject {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

export class UsageSum {
  readonly #choicesPerPrompt: number;
  #prompt = 0;
  #completion = 0;
  #cached = 0;

  /** @param choicesPerPrompt a prompt counts once, with what its first choice found cached */
  constructor(choicesPerPrompt: number) {
    this.#choicesPerPrompt = choicesPerPrompt;
  }

  /** @param index of the choice, those of a prompt side by side */
  add(index: number, { usage }: Pick<EndEvent, "usage">): void {
    this.#completion += usage.completionTokens;
    if (index % this.#choicesPerPrompt !== 0) return;
    this.#prompt += usage.promptTokens;
    this.#cached += usage.cachedTokens;
  }

  object(): UsageObject {
    return {
      prompt_tokens: this.#prompt,
      completion_tokens: this.#completion,
      total_tokens: this.#prompt + this.#completion,
      prompt_tokens_details: { cached_tokens: this.#cached },
      completion_tokens_details: { reasoning_tokens: 0 },
    };
  }
}
