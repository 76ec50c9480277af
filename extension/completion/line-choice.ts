import type { Scope } from './syntax-scope.ts';

/** A block, a list or a call's arguments begin at the line's end. */
const opening = /([{([:]|=>|\bdo|\bthen|\belse|\btry|\bfinally)$/;

/**
 * Whether one line is asked for. Several lines make sense only where a block begins: on an empty line, or
 * after an opening bracket, colon or arrow at the line's end. Everywhere else, and in comments and strings, one
 * line is faster and right more often.
 */
export function asksOneLine(lineBefore: string, lineAfter: string, scope: Scope = 'code'): boolean {
  if (lineAfter.trim() !== '' || scope !== 'code') return true;
  const before = lineBefore.trimEnd();
  return before !== '' && !opening.test(before);
}
