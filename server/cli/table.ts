/** Rows as lines of text in columns: the first to the left, figures (all others, by default) to the right. */
export function table(rows: string[][], right: (column: number) => boolean = (column) => column > 0): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, c) =>
    Math.max(...rows.map((row) => (row[c] ?? '').length)),
  );
  const line = (row: string[]) =>
    widths
      .map((width, c) => (right(c) ? (row[c] ?? '').padStart(width) : (row[c] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}
