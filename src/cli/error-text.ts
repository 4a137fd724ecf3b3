/** The one sentence that a failed command prints. */

import { AssertionError } from "../assert.ts";
import { ArcticError } from "../errors.ts";

/** An error's message; a sentence that says so when it is a bug of arctic. */
export function errorText(error: unknown): string {
  if (error instanceof ArcticError || error instanceof AssertionError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  if (isSystemError(error)) return `The system reports: ${message}.`;
  return `Internal error in arctic: ${message}. Please report it; ARCTIC_DEBUG=1 shows where it was.`;
}

/** Errors that the operating system gives, such as ENOSPC. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "errno" in error && "code" in error;
}
