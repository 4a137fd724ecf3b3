/** Several event streams as one, in the order in which their events come. */

export interface Indexed<T> {
  readonly index: number;
  readonly event: T;
}

/**
 * Pulls one event ahead from each source, and no more until that one was taken: who does not read holds
 * the sources. The first failure of a source is thrown; leaving the loop returns all sources.
 */
export async function* merge<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<Indexed<T>, void, undefined> {
  const ready: { readonly index: number; readonly result: IteratorResult<T, void> }[] = [];
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};
  let open = sources.length;
  const pull = (index: number): void => {
    const source = sources[index];
    source?.next().then(
      (result) => ready.push({ index, result }),
      (error: unknown) => failure ??= { error },
    ).finally(() => wake());
  };
  try {
    for (const index of sources.keys()) pull(index);
    while (open > 0) {
      if (failure) throw failure.error;
      const next = ready.shift();
      if (!next) {
        await new Promise<void>((resolve) => wake = resolve);
        continue;
      }
      if (next.result.done) {
        open--;
        continue;
      }
      yield { index: next.index, event: next.result.value };
      pull(next.index);
    }
  } finally {
    // A generator that waits for its next event returns only then: who cancels aborts it as well.
    for (const source of sources) void source.return().catch(() => {});
  }
}
