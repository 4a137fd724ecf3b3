/**
 * What one thread computes in, kept from one call to the next: a token that left its intermediate
 * values to the collector would leave a quarter of a megabyte each time, and the resident set of an
 * endless stream would follow the collector's mood.
 *
 * An array may be longer than asked for, and holds what its last user left there. Two that are in use
 * at once need two names.
 */
export class Workspace {
  readonly #doubles = new Map<string, Float64Array<ArrayBuffer>>();
  readonly #singles = new Map<string, Float32Array<SharedArrayBuffer>>();
  readonly #indices = new Map<string, Uint32Array<ArrayBuffer>>();

  f64(name: string, length: number): Float64Array {
    return kept(this.#doubles, name, length, (n) => new Float64Array(n));
  }

  /** Other threads can write here. */
  f32(name: string, length: number): Float32Array {
    return kept(this.#singles, name, length, sharedF32);
  }

  u32(name: string, length: number): Uint32Array {
    return kept(this.#indices, name, length, (n) => new Uint32Array(n));
  }

  /** The first `length` values of x as f64, from `from` on. */
  widened(name: string, x: Float32Array, from: number, length: number): Float64Array {
    const wide = this.f64(name, length);
    for (let i = 0; i < length; i = (i + 1) | 0) wide[i] = x[(from + i) | 0]!;
    return wide;
  }
}

/** Zeros in memory that threads share. */
export function sharedF32(values: number): Float32Array<SharedArrayBuffer> {
  return new Float32Array(new SharedArrayBuffer(values * 4));
}

function kept<A extends { readonly length: number }>(
  arrays: Map<string, A>,
  name: string,
  length: number,
  make: (length: number) => A,
): A {
  const held = arrays.get(name);
  if (held !== undefined && held.length >= length) return held;
  // One that grows token by token is not made anew for each.
  const made = make(held === undefined ? length : Math.max(length, 2 * held.length));
  arrays.set(name, made);
  return made;
}
