/** The similarity of two texts by its definition: sets of strings of five tokens. Shares no code with server/. */
export function plainJaccard(a: string, b: string): number {
  const [x, y] = [shingles(a), shingles(b)];
  const common = [...x].filter((shingle) => y.has(shingle)).length;
  return common / (x.size + y.size - common);
}

function shingles(text: string): Set<string> {
  const tokens = text.match(/[A-Za-z0-9_\u0080-\u009f\u00a1-\u2e7f]+|[^\u0000-\u0020\u00a0]/g) ?? [];
  const last = Math.max(0, tokens.length - 5);
  return new Set(Array.from({ length: last + 1 }, (_, i) => tokens.slice(i, i + 5).join('\n')));
}
