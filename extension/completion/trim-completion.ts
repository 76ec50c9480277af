// What the model returns is not yet what should be inserted: it may close brackets that stand after the
// cursor, repeat the lines that follow, or run on into the next function. All text here has `\n` line ends.

export interface CursorSurroundings {
  /** The cursor's line, up to the cursor. */
  lineBefore: string;
  /** The cursor's line, from the cursor on. */
  lineAfter: string;
  /** The lines below the cursor's line; a few suffice. */
  linesBelow: readonly string[];
}

const closers = new Map([
  [')', '('],
  [']', '['],
  ['}', '{'],
]);

const openers = new Set(closers.values());

/** The length of the indentation in columns, a tab counting as four. */
function indentation(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === ' ') columns++;
    else if (character === '\t') columns += 4;
    else break;
  }
  return columns;
}

/** How many brackets `text` opens and does not close. */
function openBrackets(text: string): number {
  let open = 0;
  for (const character of text) {
    if (openers.has(character)) open++;
    else if (closers.has(character) && open > 0) open--;
  }
  return open;
}

/**
 * `text` without the part at its end that equals the beginning of `after`; a bracket that `text` itself
 * opened keeps its closing one.
 */
export function withoutRepeatedStart(text: string, after: string): string {
  for (let length = Math.min(text.length, after.length); length > 0; length--) {
    if (!text.endsWith(after.slice(0, length))) continue;
    const rest = text.slice(0, text.length - length);
    if (openBrackets(rest) <= openBrackets(text)) return rest;
  }
  return text;
}

/** `text` up to the first bracket that it closes without having opened it, where that bracket already stands after the cursor. */
export function withoutForeignClosers(text: string, lineAfter: string): string {
  const standing = lineAfter.trimStart();
  const opened: string[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    const opener = closers.get(character);
    if (openers.has(character)) opened.push(character);
    else if (opener !== undefined) {
      if (opened.at(-1) === opener) opened.pop();
      else if (standing.startsWith(character)) return text.slice(0, at);
    }
  }
  return text;
}

/**
 * The lines that belong to what the cursor's line begins. From the second line on:
 * a line indented less than the cursor's line ends it; after a line with code, a line of the same depth ends
 * it too, but a closing bracket there still belongs to it, unless it already stands below the cursor; on an
 * empty line, the first empty line ends it.
 */
function withinBlock(lines: string[], lineBefore: string, linesBelow: readonly string[]): string[] {
  const depth = indentation(lineBefore);
  const opening = lineBefore.trim() !== '';
  const firstBelow = linesBelow.find((line) => line.trim() !== '');
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    if (line.trim() === '') {
      if (!opening && lines.slice(0, index).some((earlier) => earlier.trim() !== ''))
        return lines.slice(0, index);
      continue;
    }
    if (indentation(line) < depth) return lines.slice(0, index);
    if (!opening || indentation(line) > depth) continue;
    if (!/^\s*[)\]}]/.test(line)) return lines.slice(0, index);
    if (firstBelow?.startsWith(line.trimEnd())) return lines.slice(0, index);
    // `} else {` goes on; `}` and `});` are the end.
    if (!/[{([:]\s*$/.test(line)) return lines.slice(0, index + 1);
  }
  return lines;
}

/** Without the lines at the end that already stand below the cursor. */
function withoutLinesBelow(lines: string[], linesBelow: readonly string[]): string[] {
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

/** Without the second and later copies of a line that comes three times in a row: small models loop. */
function withoutLoop(lines: string[]): string[] {
  for (let index = 2; index < lines.length; index++) {
    const line = lines[index];
    if (line !== undefined && line.trim() !== '' && line === lines[index - 1] && line === lines[index - 2]) {
      return lines.slice(0, index - 1);
    }
  }
  return lines;
}

/** Without what follows when the same piece of a line comes three times in a row. */
function withoutRepeatedPieces(line: string): string {
  const loop = /(.{3,40}?)\1\1/u.exec(line);
  if (loop?.[1] === undefined || !/[\p{L}\p{N}]/u.test(loop[1])) return line;
  return line.slice(0, loop.index + loop[1].length).trimEnd();
}

/** The text to insert at the cursor for the model's `text`; undefined when nothing worth showing is left. */
export function trimCompletion(
  text: string,
  { lineBefore, lineAfter, linesBelow }: CursorSurroundings,
  singleLine: boolean,
): string | undefined {
  let lines = text.replace(/\r\n?/g, '\n').split('\n');
  if (singleLine) {
    lines = lines.slice(0, 1).map(withoutRepeatedPieces);
  } else {
    lines = withoutLinesBelow(withoutLoop(withinBlock(lines, lineBefore, linesBelow)), linesBelow);
    while (lines.length > 1 && lines.at(-1)?.trim() === '') lines.pop();
  }
  let trimmed = withoutForeignClosers(lines.join('\n'), lineAfter);
  if (lineAfter.trim() !== '') {
    trimmed = withoutRepeatedStart(trimmed, lineAfter.trimEnd());
    trimmed = withoutRepeatedStart(trimmed, lineAfter.trim());
  }
  if (lineAfter.trim() === '') trimmed = trimmed.trimEnd();
  return trimmed.trim() === '' ? undefined : trimmed;
}
