/** How large an answer may become that is not streamed: it is in memory as a whole, and sent at once. */

import { limits } from "../../limits.ts";
import { badRequest } from "../errors.ts";

/** Tokens that each choice of an answer may have. */
export interface MostTokens {
  readonly tokens: number;
  /**
   * Returns `asked`, what `given` comes to.
   * @throws ApiError 400 naming `param` and the number that was given, where it is more
   */
  check(asked: number, param: string, given: number): number;
}

export interface PlainAnswer {
  /** All to which tokens are generated, of all prompts. */
  readonly choices: number;
  /** Likeliest tokens told with each token; undefined without log-probabilities. */
  readonly logprobs: number | undefined;
  /** Tokens of the prompts that are told again, once for each of their choices. */
  readonly echoed?: number;
}

/** A stream is read as it comes. */
export const unbounded: MostTokens = { tokens: Infinity, check: (asked) => asked };

/**
 * The bound of an answer that is not streamed, shared by its choices.
 * @throws ApiError 400 where its echoed prompts alone are more
 */
export function plainBound({ choices, logprobs, echoed = 0 }: PlainAnswer): MostTokens {
  const all = Math.floor(limits.plainAnswerParts / partsOf(logprobs));
  const told = logprobs === undefined ? "" : " with these log-probabilities";
  const bound = `An answer that is not streamed has ${all} tokens at most${told}`;
  if (all - echoed < choices) {
    throw badRequest(
      `${bound}; the echoed prompts of this one have ${echoed}. Echo fewer, or set \`stream: true\`.`,
      "echo",
      "invalid_value",
    );
  }
  const tokens = choices === 0 ? Infinity : Math.floor((all - echoed) / choices);
  const shared = choices === 1 && echoed === 0
    ? ""
    : `, which leaves ${tokens} for each choice of this one`;
  return {
    tokens,
    check(asked, param, given) {
      if (asked <= tokens) return asked;
      throw badRequest(
        `${bound}${shared}, but ${param} asks for ${given}. Ask for fewer, or set \`stream: true\`.`,
        param,
        "invalid_value",
      );
    },
  };
}

/** What a token of an answer counts. */
function partsOf(logprobs: number | undefined): number {
  if (logprobs === undefined) return 1;
  return limits.plainLogprobParts + logprobs * limits.plainLikeliestParts;
}
