/** Seeded randomness for the question generator: the same seed gives the same questions for ever. */

export interface Random {
  /** Uniform in [0, 1), 32 bits of resolution. */
  next(): number;
  /** Uniform integer in [low, high], both included. */
  int(low: number, high: number): number;
  chance(probability: number): boolean;
  /** A uniformly chosen element; the list is not empty. */
  pick<T>(list: readonly T[]): T;
  /** `count` different elements in random order; the list holds at least as many. */
  sample<T>(list: readonly T[], count: number): T[];
  /** An element with probability proportional to its weight. */
  weighted<T>(entries: readonly (readonly [number, T])[]): T;
}

/** 32-bit FNV-1a hash of the UTF-8 bytes of `text` (Fowler, Noll, Vo). */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The mulberry32 generator, seeded with any text or number. */
export function seededRandom(seed: string | number): Random {
  let state = fnv1a(String(seed));
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (list) => at(list, int(0, list.length - 1)),
    sample: (list, count) => {
      const pool = [...list];
      for (let i = 0; i < count; i++) {
        const j = int(i, pool.length - 1);
        const swapped = at(pool, j);
        pool[j] = at(pool, i);
        pool[i] = swapped;
      }
      return pool.slice(0, count);
    },
    weighted: (entries) => {
      let left = next() * entries.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, value] of entries) {
        left -= weight;
        if (left < 0) return value;
      }
      return at(entries, entries.length - 1)[1];
    },
  };
}

function at<T>(list: readonly T[], index: number): T {
  if (index < 0 || index >= list.length) {
    throw new RangeError(`index ${index} of ${list.length} elements`);
  }
  return list[index] as T;
}
