/** The length of the indentation in columns, a tab counting as four. */
export function indentation(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === ' ') columns++;
    else if (character === '\t') columns += 4;
    else break;
  }
  return columns;
}

/**
 * The lines without the white space that the model put before the first although the cursor already stands at an
 * indentation: what it calls the indentation is deeper by that much, in the lines that follow as well. The white
 * space stays where a deeper line is due, after a line above that opens a block at the cursor's own depth, and where
 * the cursor stands at a line's very start.
 */
export function withCursorsIndentation(
  lines: readonly string[],
  lineBefore: string,
  lineAbove: string | undefined,
): string[] {
  const [first = '', ...rest] = lines;
  const extra = /^[ \t]+/.exec(first)?.[0] ?? '';
  if (extra === '' || lineBefore === '' || lineBefore.trim() !== '') return [...lines];
  const opens = lineAbove !== undefined && /[{([:]\s*$/.test(lineAbove);
  if (opens && indentation(lineBefore) <= indentation(lineAbove)) return [...lines];
  const deeper = lineBefore + extra;
  return [
    first.slice(extra.length),
    ...rest.map((line) => (line.startsWith(deeper) ? lineBefore + line.slice(deeper.length) : line)),
  ];
}
