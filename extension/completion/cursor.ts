/** Where a completion is asked for, and the text around it: all that the pipeline knows of an editor. */
export interface Cursor {
  /** The document's URI. */
  document: string;
  /** The document's path as the model is shown it. */
  path: string;
  /** VS Code's language identifier. */
  language: string;
  /** Line of the cursor, from 0. */
  line: number;
  /** Characters of the document before the cursor, line ends counted as one, in UTF-16 units. */
  offset: number;
  /** Text up to the cursor, with `\n` line ends; of a long document its end, from the beginning of a line on. */
  before: string;
  /** Text from the cursor on, with `\n` line ends; of a long document its beginning. */
  after: string;
}

/** The cursor's line, up to the cursor. */
export function lineBefore({ before }: Pick<Cursor, 'before'>): string {
  return before.slice(before.lastIndexOf('\n') + 1);
}

/** The cursor's line, from the cursor on. */
export function lineAfter({ after }: Pick<Cursor, 'after'>): string {
  const end = after.indexOf('\n');
  return end < 0 ? after : after.slice(0, end);
}

/** At most `count` lines below the cursor's line. */
export function linesBelow({ after }: Pick<Cursor, 'after'>, count: number): string[] {
  const lines: string[] = [];
  let from = after.indexOf('\n') + 1;
  while (from > 0 && lines.length < count) {
    const end = after.indexOf('\n', from);
    lines.push(end < 0 ? after.slice(from) : after.slice(from, end));
    from = end + 1;
  }
  return lines;
}

/** At most `count` lines above the cursor's line, the nearest last. */
export function linesAbove({ before }: Pick<Cursor, 'before'>, count: number): string[] {
  return before.split('\n').slice(0, -1).slice(-count);
}

/** The cursor after `text` has been inserted there. */
export function advanced(cursor: Cursor, text: string): Cursor {
  const lines = text.split('\n').length - 1;
  const { before, line, offset } = cursor;
  return { ...cursor, before: before + text, line: line + lines, offset: offset + text.length };
}
