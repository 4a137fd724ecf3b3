/** A queue between the engine's loop, which pushes, and one reader, which waits. */

export class Channel<T> {
  readonly #items: T[] = [];
  #state: "open" | "closed" | { readonly error: unknown } = "open";
  #wake: (() => void) | undefined;

  /** Items pushed and not yet read. */
  get waiting(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  /** No more items: the reader ends after those that wait. */
  close(): void {
    if (this.#state === "open") this.#state = "closed";
    this.#wake?.();
  }

  /** The reader throws `error` after the items that wait. */
  fail(error: unknown): void {
    if (this.#state === "open") this.#state = { error };
    this.#wake?.();
  }

  /** @param onRead called after each item has been taken */
  async *read(onRead: () => void): AsyncGenerator<T, void, undefined> {
    while (true) {
      const item = this.#items.shift();
      if (item !== undefined) {
        onRead();
        yield item;
      } else if (this.#state === "open") {
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#wake = undefined;
      } else if (this.#state === "closed") {
        return;
      } else {
        throw this.#state.error;
      }
    }
  }
}
