type Cell = string | number | undefined;

/** Comma-separated values with a head (RFC 4180, lines end with \n), numbers at full precision. */
export function csvTable(head: string[], rows: Cell[][]): string {
  return [head, ...rows]
    .map((cells) => `${cells.map((cell) => quoted(String(cell ?? ''))).join(',')}\n`)
    .join('');
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
