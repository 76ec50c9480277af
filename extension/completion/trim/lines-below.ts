/** Without the lines at the end that already stand below the cursor. */
export function withoutLinesBelow(lines: string[], linesBelow: readonly string[]): string[] {
  const below = linesBelow.filter((line) => line.trim() !== '').map((line) => line.trimEnd());
  for (let count = Math.min(lines.length - 1, below.length); count > 0; count--) {
    const tail = lines.slice(lines.length - count).map((line) => line.trimEnd());
    // One line that only closes something is repeated everywhere in code: no proof of repetition.
    const telling = tail.some((line) => /[\p{L}\p{N}]/u.test(line));
    if (telling && tail.every((line, index) => line === below[index])) {
      return lines.slice(0, lines.length - count);
    }
  }
  return lines;
}
