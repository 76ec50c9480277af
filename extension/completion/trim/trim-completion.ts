import { lineAfter, lineBefore, linesAbove, linesBelow, type Cursor } from '../cursor.ts';
import { blockEnd } from './block-end.ts';
import { foreignCloser, withoutRepeatedStart } from './brackets.ts';
import { withCursorsIndentation } from './indentation.ts';
import { withoutLinesBelow } from './lines-below.ts';
import { repeatsNeighbour, withoutLoop, withoutRepeatedGroups, withoutRepeatedPieces } from './repetition.ts';

// What the model returns is not yet what should be inserted: it may close brackets that stand after the
// cursor, repeat the lines that follow, or run on into the next function. All text here has `\n` line ends.

const linesRead = 8;

/** How a text was asked for, and how it ended. */
export interface TextKind {
  /** One line was asked for. */
  singleLine: boolean;
  /** The model was stopped by a limit: the last of several lines may be half a line. */
  cutOff?: boolean;
}

/** The text to insert at the cursor for the model's `text`; undefined when nothing worth showing is left. */
export function trimCompletion(
  text: string,
  cursor: Pick<Cursor, 'before' | 'after'>,
  { singleLine, cutOff = false }: TextKind,
): string | undefined {
  const before = lineBefore(cursor);
  const after = lineAfter(cursor);
  const below = linesBelow(cursor, linesRead);
  const above = linesAbove(cursor, 1)[0];
  let lines = withCursorsIndentation(text.replace(/\r\n?/g, '\n').split('\n'), before, above);
  if (singleLine) {
    lines = lines.slice(0, 1).map(withoutRepeatedPieces);
  } else {
    const end = blockEnd(lines, before, below);
    if (cutOff && end === lines.length && lines.length > 1) lines = lines.slice(0, -1);
    else lines = lines.slice(0, end);
    lines = withoutLinesBelow(withoutRepeatedGroups(withoutLoop(lines)), below);
    while (lines.length > 1 && lines.at(-1)?.trim() === '') lines.pop();
  }
  let trimmed = lines.join('\n');
  trimmed = trimmed.slice(0, foreignCloser(trimmed, after));
  if (after.trim() !== '') {
    trimmed = withoutRepeatedStart(trimmed, after.trimEnd());
    trimmed = withoutRepeatedStart(trimmed, after.trim());
  } else trimmed = trimmed.trimEnd();
  if (trimmed.trim() === '') return undefined;
  const alone = before.trim() === '' && after.trim() === '' && !trimmed.includes('\n');
  const next = below.find((line) => line.trim() !== '');
  return alone && repeatsNeighbour(trimmed, [above, next]) ? undefined : trimmed;
}

/**
 * Whether the model may stop: whatever follows `text`, `trimCompletion` would take it off. Asked while the text is
 * still coming, so that no token is made in vain.
 */
export function isComplete(
  text: string,
  cursor: Pick<Cursor, 'before' | 'after'>,
  singleLine: boolean,
): boolean {
  if (foreignCloser(text, lineAfter(cursor)) !== undefined) return true;
  const before = lineBefore(cursor);
  const lines = withCursorsIndentation(text.split('\n'), before, linesAbove(cursor, 1)[0]);
  if (singleLine) {
    const first = lines[0] ?? '';
    return withoutRepeatedPieces(first) !== first || (lines.length > 1 && text.trim() !== '');
  }
  if (blockEnd(lines, before, linesBelow(cursor, linesRead), true) < lines.length) return true;
  const whole = lines.slice(0, -1);
  return withoutRepeatedGroups(withoutLoop(whole)).length < whole.length;
}
