/** The text of a prompt: an argument or standard input. */

import process from "node:process";
import { ArcticError } from "../errors.ts";
import { readStandardInput } from "./input.ts";

/**
 * The argument, or standard input less one newline at its end where there is none or it is `-`.
 * @throws ArcticError `usage_no_prompt` when there is nothing, and as readStandardInput
 */
export async function promptText(
  argument: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  if (argument === undefined && process.stdin.isTTY) {
    throw new ArcticError(
      "usage_no_prompt",
      "There is no prompt. Give it as an argument, pipe it in, or give --tokens.",
    );
  }
  const given = argument !== undefined && argument !== "-";
  const text = given ? argument : (await readStandardInput(signal)).replace(/\r?\n$/, "");
  if (text !== "") return text;
  const where = given ? "The prompt" : "The prompt on standard input";
  throw new ArcticError("usage_no_prompt", `${where} is empty. Give at least one character.`);
}
