import { limits } from "../limits.ts";

/**
 * How many atoms a pattern has once its counted repetitions are written out, which is what a compiler of
 * grammars does: `(ab{3}){2}` has eight. Nested counts multiply, so a short text can be a huge grammar.
 */
export class Repetition {
  /** Atoms of the groups that are open, outermost first, and of the last item in each. */
  readonly #groups: { size: number; last: number }[] = [{ size: 0, last: 0 }];
  readonly #fail: (what: string) => never;

  /** @param fail told what is wrong, as the end of a sentence */
  constructor(fail: (what: string) => never) {
    this.#fail = fail;
  }

  atom(): void {
    this.#add(1);
  }

  open(): void {
    if (this.#groups.length > limits.grammarDepth) {
      this.#fail(`nests groups more than ${limits.grammarDepth} deep`);
    }
    this.#groups.push({ size: 0, last: 0 });
  }

  close(): void {
    const group = this.#groups.length > 1 ? this.#groups.pop() : undefined;
    if (group === undefined) this.#fail("closes a group that is not open");
    this.#add(Math.max(1, group.size));
  }

  /** The last item is repeated `times` at most; once when it may be repeated without end. */
  repeat(times: number): void {
    if (times > limits.grammarRepeats) {
      this.#fail(`repeats something ${times} times: ${limits.grammarRepeats} is the most`);
    }
    const group = this.#top;
    const more = group.last * Math.max(1, times) - group.last;
    group.last += more;
    group.size += more;
    this.#check(group.size);
  }

  end(): void {
    if (this.#groups.length > 1) this.#fail("does not close a group");
  }

  get #top(): { size: number; last: number } {
    return this.#groups[this.#groups.length - 1] ?? this.#fail("is malformed");
  }

  #add(size: number): void {
    const group = this.#top;
    group.size += size;
    group.last = size;
    this.#check(group.size);
  }

  #check(size: number): void {
    if (size > limits.grammarExpansion) {
      this.#fail(
        `is too large: its repetitions multiply to more than ${limits.grammarExpansion} atoms`,
      );
    }
  }
}

/** `{m}`, `{m,}` or `{m,n}` at `at`: its length, and n (m where there is no end); undefined: no count. */
export function countAt(
  text: string,
  at: number,
): { readonly length: number; readonly times: number } | undefined {
  const match = /^\{\s*(\d{1,15})\s*(?:,\s*(\d{1,15})?\s*)?\}/.exec(text.slice(at, at + 64));
  if (match === null) return undefined;
  return { length: match[0].length, times: Number(match[2] ?? match[1]) };
}
