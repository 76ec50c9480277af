import { indentation } from './indentation.ts';

/**
 * How many of the lines belong to what the cursor's line begins. From the second line on: a line indented less
 * than the cursor's line ends it; after a line with code, a line of the same depth ends it too, but a closing bracket
 * there still belongs to it, unless it already stands below the cursor; on an empty line, the first empty line ends
 * it.
 * @param unfinished the last line is still being written: of it only the beginning is certain
 * @returns lines.length where nothing ends it, so far
 */
export function blockEnd(
  lines: readonly string[],
  lineBefore: string,
  linesBelow: readonly string[],
  unfinished = false,
): number {
  const depth = indentation(lineBefore);
  const opening = lineBefore.trim() !== '';
  const firstBelow = linesBelow.find((line) => line.trim() !== '');
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    const whole = !unfinished || index < lines.length - 1;
    if (line.trim() === '') {
      if (whole && !opening && lines.slice(0, index).some((earlier) => earlier.trim() !== '')) return index;
      continue;
    }
    if (indentation(line) < depth) return index;
    if (!opening || indentation(line) > depth) continue;
    if (!/^\s*[)\]}]/.test(line)) return index;
    if (!whole) continue;
    if (firstBelow?.startsWith(line.trimEnd())) return index;
    // `} else {` goes on; `}` and `});` are the end.
    if (!/[{([:]\s*$/.test(line)) return index + 1;
  }
  return lines.length;
}
