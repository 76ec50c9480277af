// Small models loop: a line, or a piece of one, comes again and again.

/** Without the second and later copies of a line that comes three times in a row. */
export function withoutLoop(lines: string[]): string[] {
  for (let index = 2; index < lines.length; index++) {
    const line = lines[index];
    if (line !== undefined && line.trim() !== '' && line === lines[index - 1] && line === lines[index - 2]) {
      return lines.slice(0, index - 1);
    }
  }
  return lines;
}

/** Without the second copy of a group of two to six lines that comes twice in a row, and what follows it. */
export function withoutRepeatedGroups(lines: string[]): string[] {
  for (let end = 4; end <= lines.length; end++) {
    for (let size = 2; size <= 6 && 2 * size <= end; size++) {
      const group = lines.slice(end - size, end);
      const telling = group.filter((line) => /[\p{L}\p{N}]/u.test(line)).length >= 2;
      if (telling && group.every((line, index) => line === lines[end - 2 * size + index])) {
        return lines.slice(0, end - size);
      }
    }
  }
  return lines;
}

/** Without what follows when the same piece of a line comes three times in a row. */
export function withoutRepeatedPieces(line: string): string {
  const loop = /(.{3,40}?)\1\1/u.exec(line);
  if (loop?.[1] === undefined || !/[\p{L}\p{N}]/u.test(loop[1])) return line;
  return line.slice(0, loop.index + loop[1].length).trimEnd();
}

/** Whether a single line only says once more what the line above or below the cursor says. */
export function repeatsNeighbour(line: string, neighbours: readonly (string | undefined)[]): boolean {
  const said = line.trim();
  if (!/[\p{L}\p{N}].*[\p{L}\p{N}]/u.test(said)) return false;
  return neighbours.some((neighbour) => neighbour?.trim() === said);
}
