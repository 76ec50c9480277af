import type { Cursor } from '../../../../extension/completion/cursor.ts';

/** A cursor in a document whose text has `|` where the cursor is. */
export function cursorAt(source: string, change: Partial<Cursor> = {}): Cursor {
  const at = source.indexOf('|');
  const before = source.slice(0, at);
  return {
    document: 'file:///a.ts',
    path: 'a.ts',
    language: 'typescript',
    line: before.split('\n').length - 1,
    offset: before.length,
    before,
    after: source.slice(at + 1),
    ...change,
  };
}
