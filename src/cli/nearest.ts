/** The name that a misspelt one was probably meant to be. */

/**
 * The candidate with the smallest edit distance to `word`, or one that `word` is the beginning of;
 * undefined when none is near: more than a third of the letters would have to change.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const bare = word.replace(/^-+/, "");
  const begun = candidates.filter((each) =>
    bare !== "" && each.replace(/^-+/, "").startsWith(bare)
  );
  if (begun.length === 1) return begun[0];
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance, with the swap of two neighbours as one edit (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (previous[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (previous[j - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    [beforeLast, previous] = [previous, row];
  }
  return previous[b.length] ?? 0;
}
