/** Edits (insert, delete, replace, swap of neighbours) between two words. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/** The known word nearest to what was typed, if one is near enough to have been meant. Known words are compared as they are. */
export function nearest(typed: string, known: Iterable<string>): string | undefined {
  let best: { word: string; edits: number } | undefined;
  for (const word of known) {
    const edits = distance(typed.toLowerCase(), word);
    // A third of the letters may be wrong; one letter always may.
    if (edits > Math.max(1, Math.floor(Math.max(typed.length, word.length) / 3))) continue;
    if (best === undefined || edits < best.edits) best = { word, edits };
  }
  return best?.word;
}
