/**
 * Byte-pair encoding as its definition says, in quadratic time: again and again, the best pair of neighbours
 * merges, the leftmost of equals.
 * @param rank of a pair, lower is better; undefined where the pair does not merge
 */
export function plainBpe(
  symbols: readonly string[],
  rank: (left: string, right: string) => number | undefined,
): string[] {
  const current = [...symbols];
  for (;;) {
    let best: { rank: number; at: number } | undefined;
    for (let at = 0; at + 1 < current.length; at++) {
      const found = rank(current[at] as string, current[at + 1] as string);
      if (found !== undefined && (best === undefined || found < best.rank)) best = { rank: found, at };
    }
    if (best === undefined) return current;
    current.splice(best.at, 2, current.slice(best.at, best.at + 2).join(''));
  }
}

/** Learns merges from words, the most frequent pair first. */
export function learnMerges(words: readonly (readonly string[])[], count: number): [string, string][] {
  const merges: [string, string][] = [];
  let current = words.map((word) => [...word]);
  while (merges.length < count) {
    const frequency = new Map<string, number>();
    for (const word of current) {
      for (let i = 0; i + 1 < word.length; i++) {
        const key = `${word[i]}\0${word[i + 1]}`;
        frequency.set(key, (frequency.get(key) ?? 0) + 1);
      }
    }
    const [best] = [...frequency].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (best === undefined) break;
    const pair = best[0].split('\0') as [string, string];
    merges.push(pair);
    current = current.map((word) =>
      plainBpe(word, (l, r) => (l === pair[0] && r === pair[1] ? 0 : undefined)),
    );
  }
  return merges;
}
