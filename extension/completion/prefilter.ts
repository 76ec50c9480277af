import { lineAfter, lineBefore, type Cursor } from './cursor.ts';
import { scopeAtEnd } from './syntax-scope.ts';

/** Why no completion is made; for the log and for tests. */
export type Refusal = 'off' | 'selection' | 'suggestions' | 'inside a word' | 'finished' | 'comment';

export interface Question {
  cursor: Cursor;
  /** The user asked for it, by a command. */
  asked: boolean;
  /** Completions are on for this window, language and file. */
  on: boolean;
  /** Something is selected, or there are several cursors. */
  selecting: boolean;
  /** The suggest widget has an entry selected, whose preview the ghost text would fight with. */
  suggesting: boolean;
  /** Whether comments are completed without being asked. */
  inComments: boolean;
}

/**
 * Whether to complete here at all: the cheapest stage, before anything is read or waited for. Undefined: yes.
 * Being asked overrules everything that is only a guess about what is wanted.
 */
export function refusal({
  cursor,
  asked,
  on,
  selecting,
  suggesting,
  inComments,
}: Question): Refusal | undefined {
  if (!on) return 'off';
  if (selecting) return 'selection';
  const before = lineBefore(cursor);
  const after = lineAfter(cursor);
  if (/[\p{L}\p{N}_$]$/u.test(before) && /^[\p{L}\p{N}_$]/u.test(after)) return 'inside a word';
  if (asked) return undefined;
  if (suggesting) return 'suggestions';
  // Behind a finished statement hardly anything but a comment can follow; in the head of a `for` the next part.
  if (after.trim() === '' && /[;}]\s*$/.test(before) && !insideParentheses(before)) return 'finished';
  if (!inComments && scopeAtEnd(cursor.before, cursor.language) === 'comment') return 'comment';
  return undefined;
}

function insideParentheses(line: string): boolean {
  let depth = 0;
  for (const character of line) {
    if (character === '(') depth++;
    else if (character === ')') depth--;
  }
  return depth > 0;
}
