/**
 * Every failure a user can meet is an ArcticError: a stable code for programs, and one full sentence
 * for people that says what went wrong, where, and what to do about it.
 */

/** Process exit codes, as scripts rely on them. */
export const Exit = {
  done: 0,
  failed: 1,
  usage: 2,
  unrecoverable: 70,
  interrupted: 130,
} as const;

export type ExitCode = (typeof Exit)[keyof typeof Exit];

/** The first word of a code is the part of the program that raises it. */
export type ErrorCode =
  | `weights_${string}`
  | `config_${string}`
  | `tokenizer_${string}`
  | `request_${string}`
  | `device_${string}`
  | `engine_${string}`
  | `disk_${string}`
  | `usage_${string}`;

export class ArcticError extends Error {
  override readonly name = "ArcticError";
  readonly code: ErrorCode;
  readonly exit: ExitCode;

  /**
   * @param code stable identifier, for example `weights_header_truncated`
   * @param message full sentences: what, where, what to do
   * @param options.exit process exit code where it is not 1
   * @param options.cause the error underneath
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { exit?: ExitCode; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.exit = options.exit ?? (code.startsWith("usage_") ? Exit.usage : Exit.failed);
  }
}

/** The code of an ArcticError, or undefined for anything else. */
export function errorCode(error: unknown): ErrorCode | undefined {
  return error instanceof ArcticError ? error.code : undefined;
}
