/**
 * Assertions state what the code relies on after its boundaries have validated their input. They stay
 * in the released binary: a wrong answer costs more than a comparison. Not for per-element loops.
 */

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws AssertionError unless `condition` holds: a bug in arctic, never the user's fault. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) {
    throw new AssertionError(`Internal error in arctic: ${message}. Please report it.`);
  }
}

/** The value, asserted to be present. */
export function defined<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, `${what} is missing`);
  return value;
}
